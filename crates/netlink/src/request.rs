//! A message to the kernel, built in place. The socket that sends it sets the sequence number.

use crate::Writer;
use crate::message::HEADER_BYTES;

const NLM_F_REQUEST: u16 = libc::NLM_F_REQUEST as u16;
/// The kernel acknowledges the request also when it succeeds.
pub const NLM_F_ACK: u16 = libc::NLM_F_ACK as u16;
/// With [`NLM_F_CREATE`]: fail if the object exists.
pub const NLM_F_EXCL: u16 = libc::NLM_F_EXCL as u16;
/// Create the object if it does not exist.
pub const NLM_F_CREATE: u16 = libc::NLM_F_CREATE as u16;
/// With [`NLM_F_CREATE`]: add the object at the end of its list.
pub const NLM_F_APPEND: u16 = libc::NLM_F_APPEND as u16;

/// One request; it can be sent any number of times.
#[derive(Debug, Clone)]
pub struct Request {
    flags: u16,
    writer: Writer,
}

impl Request {
    /// Starts a request of type `kind` with the family's fixed header (`struct rtmsg`,
    /// `struct nfgenmsg`, …). `flags` are `NLM_F_*`; `NLM_F_REQUEST` is always added, and the
    /// socket adds `NLM_F_ACK` or `NLM_F_DUMP` where it waits for one.
    #[must_use]
    pub fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; HEADER_BYTES]);
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(header);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Self {
            flags: flags | NLM_F_REQUEST,
            writer: Writer {
                bytes,
                oversized: false,
            },
        }
    }

    /// Where the request's attributes are written.
    pub fn attrs(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// The finished message; `None` if it or one of its attributes is too long.
    pub(crate) fn seal(&mut self, seq: u32, more_flags: u16) -> Option<&[u8]> {
        let bytes = &mut self.writer.bytes;
        let len = u32::try_from(bytes.len()).ok()?;
        if self.writer.oversized {
            return None;
        }
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(self.flags | more_flags).to_ne_bytes());
        bytes[8..12].copy_from_slice(&seq.to_ne_bytes());
        Some(bytes)
    }

    /// Whether the request itself asks for an acknowledgement.
    pub(crate) fn wants_ack(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Messages;

    #[test]
    fn a_sealed_request_is_one_message() {
        let mut request = Request::new(26, 0x400, &[2, 0, 0]);
        request.attrs().put_u8(1, 9);
        // Flags of one sending must not stick to the next.
        request.seal(4, 0x300).unwrap();
        let sealed = request.seal(5, NLM_F_ACK).unwrap();
        let message = Messages::new(sealed).next().unwrap().unwrap();
        assert_eq!((message.kind, message.flags, message.seq), (26, 0x405, 5));
        let (header, mut attrs) = message.split::<3>().unwrap();
        assert_eq!(header, &[2, 0, 0]);
        assert_eq!(attrs.next().unwrap().unwrap().u8(), Ok(9));
        assert!(!request.wants_ack());
    }

    #[test]
    fn an_oversized_request_is_never_sent() {
        let mut request = Request::new(26, 0, &[]);
        request.attrs().put(1, &[0; 70_000]);
        assert!(request.seal(1, 0).is_none());
    }
}
