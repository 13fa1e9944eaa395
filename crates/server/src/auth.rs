//! Logging in: SCRAM-SHA-256, message by message.
//!
//! ```text
//! server  AuthenticationSASL: SCRAM-SHA-256-PLUS (under TLS), SCRAM-SHA-256
//! client  SASLInitialResponse: mechanism, client-first
//! server  AuthenticationSASLContinue: server-first (salt and iterations, a mock one for a user that does not exist)
//! client  SASLResponse: client-final (proof)
//! server  AuthenticationSASLFinal, AuthenticationOk                      or FATAL 28P01, whatever was wrong with user or password
//! ```
//!
//! Not here: the mathematics (`pgwire`'s SCRAM), verifiers (`credentials`).
//! Source: PostgreSQL 15, `auth-sasl.c` and `auth-scram.c`; RFC 5802, RFC 5929 (tls-server-end-point).

use pgwire::api::auth::sasl::scram::ScramServerAuth;
use pgwire::api::auth::sasl::{SCRAM_SHA_256_METHOD, SCRAM_SHA_256_PLUS_METHOD};
use pgwire::error::PgWireError;
use pgwire::messages::startup::Authentication;
use types::{SqlError, SqlState};

use crate::credentials::Credentials;
use crate::error::{Failure, violation};
use crate::frame::{self, Phase};
use crate::message::Reader;
use crate::wire::Wire;

/// Lets `user` prove who they are; returns once they have. `bound` is SCRAM tied to the certificate of this connection's TLS.
/// Errors: 28P01 for a wrong password or user, 08P01 for messages that are none.
pub(crate) async fn scram(
    wire: &mut Wire,
    credentials: &Credentials,
    user: &str,
    bound: Option<&ScramServerAuth>,
) -> Result<(), Failure> {
    let mut mechanisms = vec![SCRAM_SHA_256_METHOD.to_owned()];
    if bound.is_some() {
        mechanisms.insert(0, SCRAM_SHA_256_PLUS_METHOD.to_owned());
    }
    send(wire, &Authentication::SASL(mechanisms)).await?;

    let body = receive(wire).await?;
    let (mechanism, client_first) = initial_response(&body).map_err(Failure::Fatal)?;
    let scram = match (mechanism, bound) {
        (SCRAM_SHA_256_PLUS_METHOD, Some(bound)) if client_first.starts_with(b"p=") => bound.clone(),
        // With a certificate to bind to, `pgwire` refuses a client that believes there is none (a downgrade).
        (SCRAM_SHA_256_METHOD, Some(bound)) if !client_first.starts_with(b"p=") => bound.clone(),
        (SCRAM_SHA_256_METHOD, None) => ScramServerAuth::new(),
        (SCRAM_SHA_256_PLUS_METHOD, Some(_)) | (SCRAM_SHA_256_METHOD, Some(_)) => {
            return Err(malformed("The mechanism and the channel binding flag do not fit."));
        }
        _ => return Err(Failure::Fatal(violation("client selected an invalid SASL authentication mechanism"))),
    };
    let (server_first, exchange) = scram
        .on_client_first_message_with_secret(client_first, credentials.secret(user))
        .map_err(|error| refusal(&error, user))?;
    send(wire, &Authentication::SASLContinue(server_first.into())).await?;

    let body = receive(wire).await?;
    let server_final = exchange.on_client_final_message(&body).map_err(|error| refusal(&error, user))?;
    if !credentials.has(user) {
        return Err(wrong_password(user));
    }
    wire.out.rare(&Authentication::SASLFinal(server_final.into())).map_err(Failure::Fatal)?;
    Ok(())
}

fn initial_response(body: &[u8]) -> Result<(&str, &[u8]), SqlError> {
    let mut reader = Reader(body);
    let mechanism = reader.string()?;
    let client_first = match reader.i32()? {
        // A client may send its first message later; no client of PostgreSQL does.
        -1 => return Err(violation("the SASL initial response is missing")),
        len => reader.take(len as u32 as usize)?,
    };
    if reader.0.is_empty() { Ok((mechanism, client_first)) } else { Err(violation("invalid message format")) }
}

async fn send(wire: &mut Wire, message: &Authentication) -> Result<(), Failure> {
    wire.out.rare(message).map_err(Failure::Fatal)?;
    Ok(wire.flush().await?)
}

async fn receive(wire: &mut Wire) -> Result<bytes::BytesMut, Failure> {
    loop {
        if let Some(frame) = frame::cut(&mut wire.input, Phase::Login).map_err(Failure::Fatal)? {
            return Ok(frame.body);
        }
        if !wire.fill().await? {
            return Err(Failure::Gone(None));
        }
    }
}

fn refusal(error: &PgWireError, user: &str) -> Failure {
    match error {
        PgWireError::InvalidPassword(_) => wrong_password(user),
        PgWireError::InvalidScramMessage(_) => malformed("It does not follow RFC 5802."),
        error => Failure::Fatal(SqlError::bug(format!("authenticate: {error}"))),
    }
}

fn malformed(detail: &str) -> Failure {
    Failure::Fatal(violation("malformed SCRAM message").detail(detail))
}

/// Also for a user that does not exist: which of the two it was is nobody's business.
fn wrong_password(user: &str) -> Failure {
    Failure::Fatal(SqlError::new(SqlState::INVALID_PASSWORD, format!("password authentication failed for user \"{user}\"")))
}
