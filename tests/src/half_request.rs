//! A request that is in progress for as long as a test likes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::latchkey::Server;

/// A request of which the head and half of the body have been sent.
#[derive(Debug)]
pub struct HalfRequest {
    stream: TcpStream,
    rest: &'static str,
}

impl HalfRequest {
    /// Sends the first half, and waits until the server has begun to read the body.
    ///
    /// # Panics
    /// If the server does not ask for the body.
    #[track_caller]
    #[must_use]
    pub fn send(server: &Server, key: &str) -> Self {
        const BODY: (&str, &str) = (r#"{"name": "#, r#""In flight"}"#);
        let address = server.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the connection works");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("the connection works");
        let length = BODY.0.len() + BODY.1.len();
        let head = format!(
            "POST /organizations HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the connection works");
        // The server asks for the body once a handler reads it: from here on the request is in progress.
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).expect("the connection works");
        assert!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));
        stream.write_all(BODY.0.as_bytes()).expect("the connection works");
        Self { stream, rest: BODY.1 }
    }

    /// Sends the rest, and returns the whole response.
    ///
    /// # Panics
    /// If the connection breaks.
    #[track_caller]
    #[must_use]
    pub fn finish(mut self) -> String {
        self.stream.write_all(self.rest.as_bytes()).expect("the connection works");
        let mut response = String::new();
        self.stream.read_to_string(&mut response).expect("the connection works");
        response
    }
}
