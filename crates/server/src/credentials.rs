//! Who may log in: a SCRAM verifier per user, kept in the data directory.
//!
//! ```text
//! auth.json   { "version": 1,
//!               "mock_nonce": "<32 random bytes, base64>",
//!               "users": { "postgres": "SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>" } }
//! ```
//!
//! 1. No password is ever written, only what PostgreSQL's `pg_authid.rolpassword` holds; a stolen file lets nobody log in.
//! 2. The file is its owner's alone (0600) before a byte is in it, and is replaced as a whole, durably.
//! 3. A user that does not exist gets a salt that is always the same (from `mock_nonce`), so that asking tells nothing.
//!
//! Not here: the exchange of messages (`auth`), where a password comes from (`cli`).
//! Source: RFC 5802; PostgreSQL 15, `scram_build_secret` and `mock_scram_secret`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use env::{Env, OpenMode};
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramSecret, gen_salted_password};
use serde::{Deserialize, Serialize};

/// The file's name in the data directory.
pub const FILE: &str = "auth.json";
/// The superuser every data directory starts with.
pub const SUPERUSER: &str = "postgres";

const VERSION: u32 = 1;
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// More would let a bent file hold up every login.
const ITERATIONS_MAX: usize = 10_000_000;
/// Of a generated password: 24 characters of 57 are 139 bits.
const PASSWORD_CHARACTERS: usize = 24;
/// Letters and digits that are not mistaken for each other.
const ALPHABET: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Why the users of a data directory are not known.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The operating system says no.
    #[error("{action} {}: {source}", file.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        file: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("{} is damaged: {reason}; remove it to set a new password", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A password nobody could log in with.
    #[error("a password must not be empty")]
    EmptyPassword,
}

/// The users of a data directory and how they prove who they are.
#[derive(Clone)]
pub struct Credentials {
    users: BTreeMap<String, Verifier>,
    mock_nonce: [u8; KEY_BYTES],
}

/// What proves that a client knows a password, without being it.
#[derive(Clone)]
struct Verifier {
    iterations: usize,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    mock_nonce: String,
    users: BTreeMap<String, String>,
}

/// Reads the users of the data directory `dir`, which must exist; creates the file at first use with the superuser [`SUPERUSER`].
///
/// `password` is the superuser's from now on (the file is rewritten if it is another one). Without it, a new file gets a random one,
/// which is returned and known to nobody else: print it. Errors: the file cannot be read or written, or is damaged.
pub fn load_or_create(
    env: &dyn Env,
    dir: &Path,
    password: Option<String>,
) -> Result<(Credentials, Option<String>), CredentialsError> {
    if password.as_deref() == Some("") {
        return Err(CredentialsError::EmptyPassword);
    }
    let file = dir.join(FILE);
    let exists = env.exists(&file).map_err(|source| CredentialsError::Io { action: "read", file: file.clone(), source })?;
    if !exists {
        let mut mock_nonce = [0; KEY_BYTES];
        env.fill_random(&mut mock_nonce);
        let mut credentials = Credentials { users: BTreeMap::new(), mock_nonce };
        let generated = if password.is_none() { Some(random_password(env)) } else { None };
        let password = password.as_ref().or(generated.as_ref()).expect("one of them is there");
        credentials.set_password(env, SUPERUSER, password);
        credentials.save(env, &file)?;
        return Ok((credentials, generated));
    }
    let mut credentials = Credentials::load(env, &file)?;
    if let Some(password) = password
        && !credentials.users.get(SUPERUSER).is_some_and(|verifier| verifier.is_of(&password))
    {
        credentials.set_password(env, SUPERUSER, &password);
        credentials.save(env, &file)?;
    }
    Ok((credentials, None))
}

impl Credentials {
    /// The secret to check `user`'s proof against. For a user that does not exist, one that no proof fits.
    pub(crate) fn secret(&self, user: &str) -> ScramSecret {
        // Derived for everyone, so that it takes the same time for everyone.
        let mock_salt = gen_salted_password(user, &self.mock_nonce, 1);
        match self.users.get(user) {
            Some(verifier) => verifier.secret(),
            None => ScramSecret::Verifier {
                salt: mock_salt[..SALT_BYTES].to_vec(),
                iterations: SCRAM_ITERATIONS,
                // A SHA-256 of all zeros is not known to have a preimage; a proof that had it would still not be of a user.
                stored_key: vec![0; KEY_BYTES],
                server_key: vec![0; KEY_BYTES],
            },
        }
    }

    /// True if `user` exists.
    pub fn has(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    fn set_password(&mut self, env: &dyn Env, user: &str, password: &str) {
        let mut salt = [0; SALT_BYTES];
        env.fill_random(&mut salt);
        self.users.insert(user.to_owned(), Verifier::new(password, &salt));
    }

    fn load(env: &dyn Env, file: &Path) -> Result<Credentials, CredentialsError> {
        let damaged = |reason: String| CredentialsError::Damaged { file: file.to_owned(), reason };
        let bytes =
            env::read_file(env, file).map_err(|source| CredentialsError::Io { action: "read", file: file.to_owned(), source })?;
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if stored.version != VERSION {
            return Err(damaged(format!("it has version {}, this program knows {VERSION}", stored.version)));
        }
        let mock_nonce = STANDARD.decode(&stored.mock_nonce).ok().and_then(|nonce| nonce.try_into().ok());
        let users = stored.users.into_iter().map(|(user, verifier)| match Verifier::parse(&verifier) {
            Some(verifier) => Ok((user, verifier)),
            None => Err(damaged(format!("the verifier of user \"{user}\" is none"))),
        });
        Ok(Credentials {
            users: users.collect::<Result<_, _>>()?,
            mock_nonce: mock_nonce.ok_or_else(|| damaged("\"mock_nonce\" is not 32 bytes in base64".into()))?,
        })
    }

    fn save(&self, env: &dyn Env, file: &Path) -> Result<(), CredentialsError> {
        let stored = Stored {
            version: VERSION,
            mock_nonce: STANDARD.encode(self.mock_nonce),
            users: self.users.iter().map(|(user, verifier)| (user.clone(), verifier.to_string())).collect(),
        };
        let mut bytes = serde_json::to_vec_pretty(&stored).expect("strings become JSON");
        bytes.push(b'\n');
        write_private(env, file, &bytes).map_err(|source| CredentialsError::Io { action: "write", file: file.to_owned(), source })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("users", &self.users.keys()).finish_non_exhaustive()
    }
}

/// As [`env::write_file_atomically`], for its owner's eyes only.
fn write_private(env: &dyn Env, file: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = file.with_extension("tmp");
    if env.exists(&temporary)? {
        env.unlink(&temporary)?;
    }
    let opened = env.open(&temporary, OpenMode::CreateNew)?;
    env.restrict_to_owner(&temporary)?;
    opened.write_all_at(bytes, 0)?;
    opened.sync_data()?;
    env.rename(&temporary, file)?;
    file.parent().map_or(Ok(()), |dir| env.sync_dir(dir))
}

impl Verifier {
    fn new(password: &str, salt: &[u8]) -> Verifier {
        let salted = gen_salted_password(password, salt, SCRAM_ITERATIONS);
        match ScramSecret::verifier_from_salted_password(salt.to_vec(), salted, SCRAM_ITERATIONS) {
            ScramSecret::Verifier { salt, iterations, stored_key, server_key } => {
                Verifier { iterations, salt, stored_key, server_key }
            }
            ScramSecret::SaltedPassword { .. } => unreachable!("a verifier was asked for"),
        }
    }

    fn secret(&self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt.clone(),
            iterations: self.iterations,
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
        }
    }

    fn is_of(&self, password: &str) -> bool {
        let salted = gen_salted_password(password, &self.salt, self.iterations);
        match ScramSecret::verifier_from_salted_password(self.salt.clone(), salted, self.iterations) {
            ScramSecret::Verifier { stored_key, .. } => stored_key == self.stored_key,
            ScramSecret::SaltedPassword { .. } => false,
        }
    }

    fn parse(text: &str) -> Option<Verifier> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text| STANDARD.decode(text).ok().filter(|key| key.len() == KEY_BYTES);
        Some(Verifier {
            iterations: iterations.parse().ok().filter(|n| (1..=ITERATIONS_MAX).contains(n))?,
            salt: STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, stored, server) =
            (STANDARD.encode(&self.salt), STANDARD.encode(&self.stored_key), STANDARD.encode(&self.server_key));
        write!(f, "SCRAM-SHA-256${}:{salt}${stored}:{server}", self.iterations)
    }
}

fn random_password(env: &dyn Env) -> String {
    // A byte is used only below the greatest multiple of the alphabet's length, so that every character is equally likely.
    let limit = 256 - 256 % ALPHABET.len();
    let mut password = String::with_capacity(PASSWORD_CHARACTERS);
    while password.len() < PASSWORD_CHARACTERS {
        let mut bytes = [0; PASSWORD_CHARACTERS];
        env.fill_random(&mut bytes);
        let usable = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < limit);
        password
            .extend(usable.take(PASSWORD_CHARACTERS - password.len()).map(|byte| char::from(ALPHABET[byte % ALPHABET.len()])));
    }
    password
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use env::RealEnv;

    use super::*;

    fn stored_verifier(credentials: &Credentials) -> String {
        credentials.users[SUPERUSER].to_string()
    }

    #[test]
    fn a_generated_password_is_told_once_and_its_verifier_is_kept() {
        let (env, dir) = (RealEnv::new(), tempfile::tempdir().unwrap());
        let (first, password) = load_or_create(&*env, dir.path(), None).unwrap();
        let password = password.expect("it is new");
        assert_eq!(password.len(), PASSWORD_CHARACTERS);
        assert!(first.users[SUPERUSER].is_of(&password));
        let (second, told) = load_or_create(&*env, dir.path(), None).unwrap();
        assert_eq!(told, None);
        assert_eq!(stored_verifier(&first), stored_verifier(&second));
        let text = String::from_utf8(env::read_file(&*env, &dir.path().join(FILE)).unwrap()).unwrap();
        assert!(!text.contains(&password));
    }

    #[test]
    fn the_file_is_its_owners_alone() {
        let (env, dir) = (RealEnv::new(), tempfile::tempdir().unwrap());
        load_or_create(&*env, dir.path(), None).unwrap();
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_given_password_replaces_the_one_before() {
        let (env, dir) = (RealEnv::new(), tempfile::tempdir().unwrap());
        let load = |password: &str| load_or_create(&*env, dir.path(), Some(password.into())).unwrap();
        let (first, told) = load("one");
        assert_eq!(told, None);
        let (same, _) = load("one");
        assert_eq!(stored_verifier(&first), stored_verifier(&same), "nothing to change");
        let (changed, _) = load("two");
        assert!(changed.users[SUPERUSER].is_of("two") && !changed.users[SUPERUSER].is_of("one"));
        let (kept, _) = load_or_create(&*env, dir.path(), None).unwrap();
        assert!(kept.users[SUPERUSER].is_of("two"));
        assert!(matches!(load_or_create(&*env, dir.path(), Some(String::new())), Err(CredentialsError::EmptyPassword)));
    }

    #[test]
    fn a_verifier_is_postgresqls() {
        // PostgreSQL 15: create role r password 'pencil' with scram_iterations 4096 and this salt (RFC 7677's example).
        let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        let verifier = Verifier::parse(text).unwrap();
        assert!(verifier.is_of("pencil") && !verifier.is_of("pen"));
        assert_eq!(verifier.to_string(), text);
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_name() {
        let (env, dir) = (RealEnv::new(), tempfile::tempdir().unwrap());
        load_or_create(&*env, dir.path(), None).unwrap();
        let file = dir.path().join(FILE);
        let good = String::from_utf8(env::read_file(&*env, &file).unwrap()).unwrap();
        for bad in [
            String::new(),
            good.replace("\"version\": 1", "\"version\": 2"),
            good.replace("4096", "0"),
            good.replace("4096", "99999999999"),
            good.replace("SCRAM-SHA-256$", "md5"),
            good[..good.len() / 2].to_owned(),
        ] {
            env::write_file_atomically(&*env, &file, bad.as_bytes()).unwrap();
            let error = load_or_create(&*env, dir.path(), None).unwrap_err().to_string();
            assert!(error.contains(&file.display().to_string()) && error.contains("damaged"), "{error}");
        }
    }

    #[test]
    fn a_user_that_does_not_exist_has_a_salt_that_stays() {
        let (env, dir) = (RealEnv::new(), tempfile::tempdir().unwrap());
        let salt = |user: &str| {
            let (credentials, _) = load_or_create(&*env, dir.path(), None).unwrap();
            match credentials.secret(user) {
                ScramSecret::Verifier { salt, iterations, .. } => (salt, iterations),
                ScramSecret::SaltedPassword { .. } => panic!("a verifier is expected"),
            }
        };
        assert_eq!(salt("nobody"), salt("nobody"));
        assert_ne!(salt("nobody"), salt("somebody"));
        assert_eq!(salt("nobody").1, salt(SUPERUSER).1);
        assert_eq!(salt("nobody").0.len(), salt(SUPERUSER).0.len());
    }
}
