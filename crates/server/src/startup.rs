//! From accept to login: encryption, protocol version, parameters, who it is.
//!
//! ```text
//! SSLRequest ----'S', TLS---+         GSSENCRequest --'N'--+
//!     \---------'N'---------+-----------------------------+---> StartupMessage --> SCRAM --> room? --> session
//! CancelRequest --> done                                              57P03        28P01     53300     3D000
//! ```
//!
//! 1. Nothing that arrived in the clear is read after TLS began: bytes behind an SSLRequest end the connection (CVE-2021-23214).
//! 2. Someone who has not logged in can send [`LOGIN_BYTES_MAX`](frame::LOGIN_BYTES_MAX) bytes a message, and has limited time (`listener`).
//! 3. Who has not proved who it is takes no session from others.
//! 4. Protocol 3.0 and 3.2 are spoken; for any other 3.x the client is told so and goes on with ours. In 3.2 the secret key of a
//!    connection has 32 bytes, in 3.0 four.
//!
//! Not here: the exchange of passwords (`auth`), what a setting may be (`sql`).
//! Source: PostgreSQL 15, `ProcessStartupPacket`; 18 for protocol 3.2.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use pgwire::messages::startup::{Authentication, NegotiateProtocolVersion};
use sql::{Instance, Login, Session};
use types::{SqlError, SqlState};

use crate::config::Auth;
use crate::control::{Control, Registry};
use crate::error::{Failure, violation};
use crate::frame;
use crate::message::Reader;
use crate::socket::{Socket, Stream};
use crate::tls::{ALPN, Tls};
use crate::wire::Wire;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const PROTOCOL_MAJOR: u32 = 3;
const PROTOCOL_MINOR_MAX: u32 = 2;
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What a login needs to know of the server.
pub(crate) struct Door {
    pub(crate) instance: Arc<Instance>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) auth: Auth,
    pub(crate) tls: Option<Tls>,
}

/// A StartupMessage.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Startup {
    minor: u32,
    user: String,
    database: String,
    settings: Vec<(String, String)>,
    /// `_pq_.` options, which are the protocol's own; we know none.
    unknown_options: Vec<String>,
}

/// Answers everything up to and including the StartupMessage. `None`: there is nothing more to do (a cancel request, an early end).
pub(crate) async fn greet(wire: &mut Wire, socket: &Socket, door: &Door) -> Result<Option<Startup>, Failure> {
    let (mut ssl_done, mut gss_done) = (false, false);
    if let Some(tls) = &door.tls
        && socket.peek_first().await? == Some(TLS_HANDSHAKE)
    {
        // A client that starts with the handshake must have said by ALPN that it means us.
        encrypt(wire, socket, tls).await?;
        let Stream::Tls(stream) = &wire.stream else { return Ok(None) };
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(Failure::Fatal(violation(
                "received direct SSL connection request without ALPN protocol negotiation extension",
            )));
        }
        ssl_done = true;
    }
    loop {
        let Some(mut body) = packet(wire).await? else { return Ok(None) };
        let code = body.split_to(4);
        match u32::from_be_bytes(code.as_ref().try_into().expect("four bytes were split off")) {
            CANCEL_REQUEST => {
                cancel(&body, &door.registry);
                return Ok(None);
            }
            SSL_REQUEST if !ssl_done => {
                nothing_behind(&wire.input, "SSL")?;
                wire.out.bytes.push(if door.tls.is_some() { b'S' } else { b'N' });
                wire.flush().await?;
                if let Some(tls) = &door.tls {
                    encrypt(wire, socket, tls).await?;
                }
                ssl_done = true;
            }
            GSSENC_REQUEST if !gss_done => {
                nothing_behind(&wire.input, "GSSAPI encryption")?;
                wire.out.bytes.push(b'N');
                wire.flush().await?;
                gss_done = true;
            }
            version => return parse(version, &body).map(Some).map_err(Failure::Fatal),
        }
    }
}

/// Lets a client that has said who it is prove it.
pub(crate) async fn authenticate(wire: &mut Wire, startup: &Startup, door: &Door) -> Result<(), Failure> {
    if startup.minor > PROTOCOL_MINOR_MAX || !startup.unknown_options.is_empty() {
        let newest = (PROTOCOL_MAJOR << 16 | PROTOCOL_MINOR_MAX.min(startup.minor)) as i32;
        let message = NegotiateProtocolVersion::new(newest, startup.unknown_options.clone());
        wire.out.rare(&message).map_err(Failure::Fatal)?;
    }
    match &door.auth {
        Auth::Scram(credentials) => {
            let bound = match (&wire.stream, &door.tls) {
                (Stream::Tls(_), Some(tls)) => tls.bound.clone(),
                _ => None,
            };
            crate::auth::scram(wire, credentials, &startup.user, bound.as_ref()).await?;
        }
        Auth::Trust { users } if users.contains(&startup.user) => {}
        Auth::Trust { .. } => {
            let message = format!("role \"{}\" does not exist", startup.user);
            return Err(Failure::Fatal(SqlError::new(SqlState::INVALID_AUTHORIZATION, message)));
        }
    }
    Ok(())
}

/// Makes a session of a client that has proved who it is, and says everything up to the first ReadyForQuery.
pub(crate) async fn log_in(
    wire: &mut Wire,
    startup: Startup,
    door: &Door,
    control: &Arc<Control>,
    address: SocketAddr,
) -> Result<Session, Failure> {
    wire.out.rare(&Authentication::Ok).map_err(Failure::Fatal)?;

    let application_name = |(name, value): &(String, String)| (name == "application_name").then(|| value.clone());
    let login = Login {
        database: startup.database,
        user: startup.user,
        application_name: startup.settings.iter().find_map(application_name).unwrap_or_default(),
        client_address: address.to_string(),
        settings: startup.settings,
        process_id: control.process_id,
        backend: Some(Arc::clone(control) as Arc<dyn sql::Backend>),
    };
    let mut session = Session::new(Arc::clone(&door.instance), login).map_err(Failure::Fatal)?;

    let mut secret = vec![0; if startup.minor >= 2 { 32 } else { 4 }];
    door.instance.env().fill_random(&mut secret);
    for (name, value) in session.parameter_status_changes() {
        wire.out.parameter_status(&name, &value);
    }
    wire.out.backend_key_data(control.process_id, &secret);
    control.logged_in(secret.into(), session.cancel());
    wire.logged_in();
    Ok(session)
}

async fn packet(wire: &mut Wire) -> Result<Option<BytesMut>, Failure> {
    loop {
        if let Some(body) = frame::cut_startup(&mut wire.input).map_err(Failure::Fatal)? {
            return Ok(Some(body));
        }
        if !wire.fill().await? {
            return Ok(None);
        }
    }
}

fn nothing_behind(input: &[u8], request: &str) -> Result<(), Failure> {
    if input.is_empty() {
        return Ok(());
    }
    let detail = "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.";
    Err(Failure::Fatal(violation(format!("received unencrypted data after {request} request")).detail(detail)))
}

async fn encrypt(wire: &mut Wire, socket: &Socket, tls: &Tls) -> Result<(), Failure> {
    let stream = tls.acceptor.accept(socket.clone()).await?;
    wire.stream = Stream::Tls(Box::new(stream));
    Ok(())
}

/// A CancelRequest has no answer, whether it did something or not.
fn cancel(body: &[u8], registry: &Registry) {
    let mut reader = Reader(body);
    if let Ok(process_id) = reader.i32() {
        registry.cancel(process_id, reader.rest());
    }
}

pub(crate) fn parse(version: u32, body: &[u8]) -> Result<Startup, SqlError> {
    let (major, minor) = (version >> 16, version & 0xFFFF);
    if major != PROTOCOL_MAJOR {
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{PROTOCOL_MINOR_MAX}");
        return Err(SqlError::unsupported(message));
    }
    let mut startup = Startup { minor, user: String::new(), database: String::new(), settings: vec![], unknown_options: vec![] };
    let mut reader = Reader(body);
    loop {
        let Ok(name) = reader.string() else { return Err(bad_layout()) };
        if name.is_empty() {
            break;
        }
        let Ok(value) = reader.string() else { return Err(bad_layout()) };
        match name {
            "user" => startup.user = value.to_owned(),
            "database" => startup.database = value.to_owned(),
            "replication" if matches!(value, "false" | "off" | "no" | "0") => {}
            "replication" => return Err(SqlError::unsupported("replication connections are not supported")),
            name if name.starts_with("_pq_.") => startup.unknown_options.push(name.to_owned()),
            name => startup.settings.push((name.to_owned(), value.to_owned())),
        }
    }
    if !reader.0.is_empty() {
        return Err(bad_layout());
    }
    if startup.user.is_empty() {
        return Err(SqlError::new(SqlState::INVALID_AUTHORIZATION, "no PostgreSQL user name specified in startup packet"));
    }
    if startup.database.is_empty() {
        startup.database.clone_from(&startup.user);
    }
    Ok(startup)
}

fn bad_layout() -> SqlError {
    violation("invalid startup packet layout: expected terminator as last byte")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V3_0: u32 = 3 << 16;

    #[test]
    fn parameters_become_settings() {
        let body = b"user\0me\0database\0db\0options\0-c a=1\0application_name\0psql\0_pq_.x\0y\0\0";
        let startup = parse(V3_0 | 2, body).unwrap();
        assert_eq!((startup.minor, startup.user.as_str(), startup.database.as_str()), (2, "me", "db"));
        let settings: Vec<(&str, &str)> = startup.settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(settings, [("options", "-c a=1"), ("application_name", "psql")]);
        assert_eq!(startup.unknown_options, ["_pq_.x"]);
        assert_eq!(parse(V3_0, b"user\0me\0\0").unwrap().database, "me", "the user's name is the default");
    }

    #[test]
    fn a_startup_packet_that_is_none_is_refused_with_a_reason() {
        for (version, body, state) in [
            (2 << 16, &b"user\0me\0\0"[..], "0A000"),
            (SSL_REQUEST, b"", "0A000"),
            (V3_0, b"", "08P01"),
            (V3_0, b"user\0", "08P01"),
            (V3_0, b"user\0me", "08P01"),
            (V3_0, b"user\0me\0", "08P01"),
            (V3_0, b"user\0me\0\0x", "08P01"),
            (V3_0, b"user\0m\xff\0\0", "08P01"),
            (V3_0, b"\0", "28000"),
            (V3_0, b"user\0\0\0", "28000"),
            (V3_0, b"user\0me\0replication\0database\0\0", "0A000"),
        ] {
            let error = parse(version, body).unwrap_err();
            assert_eq!(error.state.as_str(), state, "{version} {:?}: {error}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn any_packet_is_parsed_or_refused(version in prop_oneof![Just(V3_0), any::<u32>()], body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(version, &body);
        }
    }
}
