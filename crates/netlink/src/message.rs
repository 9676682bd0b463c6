//! Framing: the messages (`struct nlmsghdr`) in a datagram from the kernel.
//! Pure; knows no message's meaning.

use crate::Attrs;
use crate::Malformed;

/// `NLMSG_HDRLEN`.
pub(crate) const HEADER_BYTES: usize = 16;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: that of the request which this answers.
    pub seq: u32,
    /// Everything after the header, without padding.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The family's fixed header (`struct rtmsg`, `struct nfgenmsg`, …) of `N` bytes, and the
    /// attributes behind it.
    ///
    /// # Errors
    /// If the payload is shorter than the header.
    pub fn split<const N: usize>(&self) -> Result<(&'a [u8; N], Attrs<'a>), Malformed> {
        let (header, rest) = self
            .payload
            .split_first_chunk()
            .ok_or(Malformed("a header is cut short"))?;
        let padding = N.next_multiple_of(4) - N;
        Ok((header, Attrs::new(rest.get(padding..).unwrap_or_default())))
    }

    /// Reads the message at the start of `bytes`; also returns its length with padding.
    #[inline]
    fn first(bytes: &'a [u8]) -> Result<(Self, usize), Malformed> {
        let header: &[u8; HEADER_BYTES] = bytes
            .first_chunk()
            .ok_or(Malformed("a message header is cut short"))?;
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let len = word(0) as usize;
        let payload = bytes
            .get(HEADER_BYTES..len)
            .ok_or(Malformed("a message reaches outside its datagram"))?;
        let message = Self {
            kind: half(4),
            flags: half(6),
            seq: word(8),
            payload,
        };
        Ok((message, len.next_multiple_of(4)))
    }
}

/// The messages of one datagram, in order. A wrong length is reported once and ends the iteration.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads messages from a whole datagram.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(match Message::first(self.rest) {
            Ok((message, taken)) => {
                self.rest = self.rest.get(taken..).unwrap_or_default();
                Ok(message)
            }
            Err(malformed) => {
                self.rest = &[];
                Err(malformed)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER_BYTES + payload.len()) as u32)
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(2_u16.to_ne_bytes());
        bytes.extend(77_u32.to_ne_bytes());
        bytes.extend(4_242_u32.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn messages_are_told_apart_by_their_padded_lengths() {
        let datagram = [message(16, &[1, 2, 3, 4, 5]), message(3, &[])].concat();
        let messages: Vec<Message<'_>> = Messages::new(&datagram).map(Result::unwrap).collect();
        let first = Message {
            kind: 16,
            flags: 2,
            seq: 77,
            payload: &[1, 2, 3, 4, 5],
        };
        assert_eq!(
            messages,
            [
                first,
                Message {
                    kind: 3,
                    payload: &[],
                    ..first
                }
            ]
        );
    }

    #[test]
    fn a_fixed_header_is_split_off_with_its_padding() {
        let datagram = message(16, &[9, 0, 0, 0, 5, 0, 2, 0, 7]);
        let message = Messages::new(&datagram).next().unwrap().unwrap();
        let (header, mut attrs) = message.split::<1>().unwrap();
        assert_eq!(header, &[9]);
        assert_eq!(attrs.next().unwrap().unwrap().u8(), Ok(7));
        assert!(message.split::<10>().is_err());
    }

    #[test]
    fn a_cut_datagram_gives_one_error() {
        let datagram = message(16, &[1, 2, 3, 4]);
        for len in 1..datagram.len() {
            let mut messages = Messages::new(&datagram[..len]);
            assert!(messages.next().unwrap().is_err(), "cut at {len}");
            assert!(messages.next().is_none(), "cut at {len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(
            len in 0_u32..80, mut bytes in prop::collection::vec(any::<u8>(), 4..256),
        ) {
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            let seen: usize = Messages::new(&bytes).flatten().map(|m| m.payload.len() + 16).sum();
            assert!(seen <= bytes.len());
        }
    }
}
