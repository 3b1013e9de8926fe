//! A client that signs with Signature Version 4, written apart from the server's verification: the one
//! does not inherit the other's mistakes.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::node::{FIRST_KEY, Key, SECOND_KEY};

/// The time of [`crate::node::fixed_now`].
const DATE: &str = "20260301T120000Z";

pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) key: Key,
    pub(crate) date: &'static str,
    pub(crate) service: &'static str,
}

/// A request, to be changed after it was signed.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn first_account(address: SocketAddr) -> Self {
        Self {
            address,
            key: FIRST_KEY,
            date: DATE,
            service: "chime",
        }
    }

    pub(crate) fn second_account(address: SocketAddr) -> Self {
        Self {
            key: SECOND_KEY,
            ..Self::first_account(address)
        }
    }

    pub(crate) fn call(&self, method: &'static str, target: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(self.signed(method, target, body.as_bytes()))
    }

    pub(crate) fn signed(&self, method: &'static str, target: &str, body: &[u8]) -> Request {
        let host = self.address.to_string();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // The target's own escapes are encoded once more; the tests' paths have no other character
        // that needs it but the colon and the plus.
        let path = path
            .replace('%', "%25")
            .replace('+', "%2B")
            .replace(':', "%3A");
        let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
        pairs.sort_unstable();
        let canonical = format!(
            "{method}\n{path}\n{}\nhost:{host}\nx-amz-date:{}\n\nhost;x-amz-date\n{}",
            pairs.join("&"),
            self.date,
            hex(&Sha256::digest(body)),
        );
        let day = &self.date[..8];
        let scope = format!("{day}/us-east-1/{}/aws4_request", self.service);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
            self.date,
            hex(&Sha256::digest(&canonical))
        );
        let mut key = hmac(format!("AWS4{}", self.key.secret).as_bytes(), day);
        for part in ["us-east-1", self.service, "aws4_request"] {
            key = hmac(&key, part);
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={}",
            self.key.id,
            hex(&hmac(&key, &to_sign))
        );
        Request {
            method,
            target: target.to_owned(),
            headers: vec![
                ("Host", host),
                ("X-Amz-Date", self.date.to_owned()),
                ("Authorization", authorization),
            ],
            body: body.to_vec(),
        }
    }

    pub(crate) fn send(&self, request: Request) -> Answer {
        self.send_over(&mut TcpStream::connect(self.address).unwrap(), request)
    }

    pub(crate) fn send_over(&self, stream: &mut (impl Read + Write), request: Request) -> Answer {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        for (name, value) in &request.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let length = request.body.len();
        write!(
            head,
            "Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&request.body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Answer::of(&answer)
    }
}

impl Request {
    /// With another value of a header, or without it.
    pub(crate) fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        if let Some(value) = value {
            self.headers.push((name, value.to_owned()));
        }
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| *found == name);
        &found.unwrap().1
    }
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no HTTP answer: {}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The output of an operation that answers this status; `null` where there is none.
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("x-amzn-errortype"), None);
        assert!(self.header("x-amzn-requestid").is_some());
        match self.body.as_slice() {
            b"" => Value::Null,
            body => serde_json::from_slice(body).unwrap(),
        }
    }

    /// The message of a refusal in the form that the SDKs read.
    pub(crate) fn refused(self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(
            self.header("x-amzn-errortype"),
            Some(format!("{code}Exception").as_str())
        );
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["Code"], code);
        assert_eq!(
            body["RequestId"].as_str(),
            self.header("x-amzn-requestid"),
            "{body}"
        );
        let message = body["Message"].as_str().unwrap().to_owned();
        assert!(!message.is_empty());
        message
    }
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
