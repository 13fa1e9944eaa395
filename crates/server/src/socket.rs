//! The byte stream to a client: a TCP socket, in the clear or under TLS.
//!
//! The socket is shared, so that others can look at its state (`watch`) without owning it; only the connection's task reads and writes.
//!
//! Not here: buffers (`wire`), certificates (`tls`).

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// When an idle peer is first asked whether it is still there; then every [`KEEPALIVE_INTERVAL`], [`KEEPALIVE_PROBES`] times.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// A shared TCP socket.
#[derive(Clone, Debug)]
pub(crate) struct Socket(pub(crate) Arc<TcpStream>);

impl Socket {
    /// Takes a socket just accepted: small messages go out at once, and a peer that vanished without a word is noticed in time.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
        rustix::net::sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
        rustix::net::sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_INTERVAL)?;
        rustix::net::sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
        Ok(Socket(Arc::new(stream)))
    }

    /// Appends what has arrived. Less than there is room for was all of it: the socket is taken for empty then, without another call
    /// that would say so, as tokio's own `poll_read` does.
    fn try_read(&self, input: &mut BytesMut) -> io::Result<usize> {
        let room = input.capacity() - input.len();
        let mut read = 0;
        let done = self.0.try_io(Interest::READABLE, || {
            read = self.0.try_read_buf(input)?;
            if 0 < read && read < room { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if read > 0 { Ok(read) } else { done.map(|()| 0) }
    }

    /// The first byte the client sent, left where it is; `None` at the end of the stream.
    pub(crate) async fn peek_first(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let n = self.0.peek(&mut first).await?;
        Ok((n > 0).then_some(first[0]))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(n) => {
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write);
        Poll::Ready(match done {
            Err(rustix::io::Errno::NOTCONN) => Ok(()),
            done => Ok(done?),
        })
    }
}

/// The stream messages travel on.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// Appends what has arrived, waiting for something; 0 at the end of the stream. Nothing is lost if the future is dropped.
    pub(crate) async fn read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => loop {
                socket.0.readable().await?;
                match socket.try_read(input) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    done => return done,
                }
            },
            Stream::Tls(stream) => match stream.read_buf(input).await {
                // A peer that closes without saying so under TLS is gone all the same.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                done => done,
            },
        }
    }

    /// Sends some of `bytes`, waiting until there is room. Nothing was sent if the future is dropped before it is ready.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes).await,
            Stream::Tls(stream) => stream.write(bytes).await,
        }
    }

    /// Sends what the stream itself holds back.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(stream) => stream.flush().await,
        }
    }

    /// Tells the client that nothing more will come.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.shutdown().await,
            Stream::Tls(stream) => stream.shutdown().await,
        }
    }
}
