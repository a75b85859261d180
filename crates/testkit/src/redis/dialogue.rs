//! A few words with a Redis server: what the testkit itself asks and tells it.
//!
//! One connection for each command, in plain text, without a login.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one command waits for its reply.
const REPLY_WITHIN: Duration = Duration::from_secs(2);

/// Sends one command and returns the texts of the reply, in their order.
pub(crate) async fn ask(port: u16, command: &str) -> io::Result<Vec<String>> {
    timeout(REPLY_WITHIN, send(port, command)).await?
}

/// Whether a server with its data loaded is there; one that asks for a password is.
pub(crate) async fn answers(port: u16) -> bool {
    match ask(port, "PING").await {
        Ok(_pong) => true,
        Err(error) => error.to_string().starts_with("NOAUTH"),
    }
}

async fn send(port: u16, command: &str) -> io::Result<Vec<String>> {
    let mut connection = BufReader::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?);
    connection
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let (mut texts, mut left) = (Vec::new(), 1_usize);
    while let Some(rest) = left.checked_sub(1) {
        left = rest;
        let mut header = String::new();
        if connection.read_line(&mut header).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let header = header.trim_end();
        let (tag, value) = header.split_at_checked(1).unwrap_or((header, ""));
        match (tag, value.parse::<usize>()) {
            ("*", Ok(elements)) => left += elements,
            ("$", Ok(len)) => {
                let mut text = vec![0; len + 2];
                connection.read_exact(&mut text).await?;
                text.truncate(len);
                texts.push(String::from_utf8_lossy(&text).into_owned());
            }
            ("-", _) => return Err(io::Error::other(value.to_owned())),
            _ => texts.push(value.to_owned()),
        }
    }
    Ok(texts)
}
