//! TLS for the server: a certificate chain and its key from PEM files.
//!
//! 1. A set-up that does not work is an error when the server starts, never a connection in the clear.
//! 2. TLS 1.2 and 1.3 with rustls' defaults; no client certificates.
//!
//! Not here: when a connection switches to TLS (`startup`).

use std::path::Path;
use std::sync::Arc;

use env::Env;
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// What ALPN calls this protocol.
pub(crate) const ALPN: &[u8] = b"postgresql";

/// Why a server cannot offer TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("read {what} from {file}: {reason}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// The file.
        file: String,
        /// Why it was not found.
        reason: String,
    },
    /// Certificate and key are refused, for example because they do not belong together.
    #[error("use the certificate and its key: {0}")]
    Refused(#[from] rustls::Error),
}

/// A certificate and its key, ready to use. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// SCRAM bound to this certificate; `None` for a signature algorithm whose hash RFC 5929 does not define.
    pub(crate) bound: Option<ScramServerAuth>,
}

impl Tls {
    /// Reads the PEM files: the server's certificate followed by the intermediate ones, and the private key (PKCS#8, PKCS#1 or
    /// SEC1). Errors: a file is missing, holds something else, or the two do not belong together.
    pub fn load(env: &dyn Env, certificates: &Path, key: &Path) -> Result<Tls, TlsError> {
        let name = |file: &Path| file.display().to_string();
        let read = |file: &Path| env::read_file(env, file).map_err(|source| TlsError::Read { file: name(file), source });
        let pem = |what, file: &Path, reason: String| TlsError::Pem { what, file: name(file), reason };
        let (certificates_pem, key_pem) = (read(certificates)?, read(key)?);
        let chain = CertificateDer::pem_slice_iter(&certificates_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| pem("certificates", certificates, error.to_string()))?;
        if chain.is_empty() {
            return Err(pem("certificates", certificates, "there is none".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| pem("a private key", key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        let mut bound = ScramServerAuth::new();
        let bound = bound.configure_certificate(&certificates_pem).is_ok().then_some(bound);
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), bound })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
