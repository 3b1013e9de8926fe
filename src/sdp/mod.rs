//! scratch
#![allow(missing_docs)]
use bytes::Bytes;
use std::net::SocketAddr;
#[derive(Clone, Debug)]
pub struct SessionDescription;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
}
impl Direction {
    pub fn is_hold(self) -> bool {
        false
    }
}
pub struct Audio {
    pub rtp: Option<SocketAddr>,
    pub rtcp: Option<SocketAddr>,
    pub direction: Direction,
}
#[derive(Debug)]
pub struct SdpError;
impl SessionDescription {
    pub fn parse(_: &[u8]) -> Result<Self, SdpError> {
        Ok(Self)
    }
    pub fn audio(&self) -> Option<Audio> {
        None
    }
}
pub struct LocalDescription;
impl LocalDescription {
    pub fn new(_: u64) -> Self {
        Self
    }
    pub fn offer(&mut self, _: &SessionDescription, _: SocketAddr) -> Bytes {
        Bytes::new()
    }
    pub fn answer(
        &mut self,
        _: &SessionDescription,
        _: &SessionDescription,
        _: SocketAddr,
    ) -> Bytes {
        Bytes::new()
    }
}
