//! Netlink attributes (`struct nlattr`): a reader that never leaves its bytes, and a writer.
//! Pure; knows no attribute's meaning.

use std::ffi::CStr;
use std::net::IpAddr;

use crate::Malformed;

/// `NLA_HDRLEN`: length and type, 16 bits each, in host order.
const HEADER_BYTES: usize = 4;
const NLA_F_NESTED: u16 = libc::NLA_F_NESTED as u16;
const NLA_TYPE_MASK: u16 = libc::NLA_TYPE_MASK as u16;

/// One attribute: its type without flag bits, and its payload without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Type, as in the kernel's `enum …_attributes`.
    pub kind: u16,
    /// Payload.
    pub bytes: &'a [u8],
}

impl<'a> Attr<'a> {
    /// The payload as a byte. This and the other readers fail if the length differs.
    pub fn u8(&self) -> Result<u8, Malformed> {
        self.array().map(u8::from_ne_bytes)
    }

    /// The payload as a 32-bit number in host order.
    pub fn u32(&self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    /// The payload as a 16-bit number in network order.
    pub fn u16_be(&self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// The payload as a 32-bit number in network order.
    pub fn u32_be(&self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// The payload as a 64-bit number in network order.
    pub fn u64_be(&self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// The payload as exactly `N` bytes: an address, a hardware address, a structure.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], Malformed> {
        self.bytes
            .try_into()
            .map_err(|_| Malformed("an attribute has an unexpected length"))
    }

    /// The payload as an address, of the family that its length says.
    pub fn ip(&self) -> Result<IpAddr, Malformed> {
        let v4 = self.array::<4>().map(IpAddr::from);
        v4.or_else(|_| self.array::<16>().map(IpAddr::from))
    }

    /// The payload as text up to its first NUL, which may be missing. Bytes that are not UTF-8
    /// are replaced: the kernel allows any in a name.
    #[must_use]
    pub fn text(&self) -> String {
        let text = CStr::from_bytes_until_nul(self.bytes).map_or(self.bytes, CStr::to_bytes);
        String::from_utf8_lossy(text).into_owned()
    }

    /// The attributes inside this one.
    #[must_use]
    pub fn nested(&self) -> Attrs<'a> {
        Attrs::new(self.bytes)
    }
}

/// The attributes in a run of bytes, in order.
///
/// A length that lies outside the bytes is reported once and ends the iteration. Fewer than four
/// bytes left over are padding, as for the kernel's own `nla_for_each_attr`.
#[derive(Debug, Clone)]
pub struct Attrs<'a> {
    rest: &'a [u8],
}

impl<'a> Attrs<'a> {
    /// Reads attributes from `bytes`, the first of which is the first attribute's header.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&[len_0, len_1, kind_0, kind_1], _) = self.rest.split_first_chunk()?;
        let len = usize::from(u16::from_ne_bytes([len_0, len_1]));
        let kind = u16::from_ne_bytes([kind_0, kind_1]) & NLA_TYPE_MASK;
        let Some(bytes) = self.rest.get(HEADER_BYTES..len) else {
            self.rest = &[];
            return Some(Err(Malformed("an attribute reaches outside its message")));
        };
        // The last attribute's padding may be missing.
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Attr { kind, bytes }))
    }
}

/// Appends attributes to a growing message.
///
/// An attribute holds at most 65,531 bytes. A longer one marks the whole writer as oversized, and
/// the socket refuses to send it, so callers need not check each `put`.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) oversized: bool,
}

impl Writer {
    /// Appends an attribute with this payload.
    pub fn put(&mut self, kind: u16, payload: &[u8]) -> &mut Self {
        self.enclose(kind, |writer| writer.bytes.extend_from_slice(payload))
    }

    /// Appends a byte.
    pub fn put_u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.put(kind, &[value])
    }

    /// Appends a 32-bit number in host order.
    pub fn put_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Appends a 16-bit number in network order.
    pub fn put_u16_be(&mut self, kind: u16, value: u16) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Appends a 32-bit number in network order.
    pub fn put_u32_be(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Appends an address, in network order.
    pub fn put_ip(&mut self, kind: u16, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(v4) => self.put(kind, &v4.octets()),
            IpAddr::V6(v6) => self.put(kind, &v6.octets()),
        }
    }

    /// Appends text with the closing NUL that the kernel's `NLA_STRING` users expect.
    pub fn put_str(&mut self, kind: u16, text: &str) -> &mut Self {
        self.enclose(kind, |writer| {
            writer.bytes.extend_from_slice(text.as_bytes());
            writer.bytes.push(0);
        })
    }

    /// Appends an attribute that holds the attributes which `fill` writes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.enclose(kind | NLA_F_NESTED, fill)
    }

    fn enclose(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        fill(self);
        let len = u16::try_from(self.bytes.len() - start).unwrap_or_else(|_| {
            self.oversized = true;
            0
        });
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.bytes[start + 2..start + HEADER_BYTES].copy_from_slice(&kind.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer
            .put_u8(1, 7)
            .put_u32(2, 0xdead_beef)
            .put_u16_be(3, 53)
            .put_str(4, "lo");
        let v6 = IpAddr::from([0xfe; 16]);
        writer.nest(5, |inner| {
            inner.put_u32_be(6, 0x0a00_0001).put(7, &[]).put_ip(8, v6);
        });
        let attrs: Vec<Attr<'_>> = Attrs::new(&writer.bytes).map(Result::unwrap).collect();
        assert_eq!(
            attrs.iter().map(|attr| attr.kind).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5]
        );
        assert_eq!(attrs[0].u8(), Ok(7));
        assert_eq!(attrs[1].u32(), Ok(0xdead_beef));
        assert_eq!(attrs[2].u16_be(), Ok(53));
        assert_eq!(attrs[3].text(), "lo");
        let inner: Vec<Attr<'_>> = attrs[4].nested().map(Result::unwrap).collect();
        assert_eq!(inner[0].u32_be(), Ok(0x0a00_0001));
        assert_eq!(inner[0].ip(), Ok([10, 0, 0, 1].into()));
        assert_eq!(inner[2].ip(), Ok(v6));
        assert_eq!(
            inner[1],
            Attr {
                kind: 7,
                bytes: &[]
            }
        );
    }

    #[test]
    fn a_number_of_another_length_is_refused() {
        let attr = Attr {
            kind: 1,
            bytes: &[1, 2, 3],
        };
        assert!(attr.u16_be().is_err() && attr.u32().is_err() && attr.u64_be().is_err());
        assert!(attr.ip().is_err());
    }

    #[test]
    fn text_ends_at_its_nul_and_need_not_be_utf8() {
        for (bytes, text) in [(&b"a\0b"[..], "a"), (b"\xff", "\u{fffd}"), (b"", "")] {
            assert_eq!(Attr { kind: 1, bytes }.text(), text);
        }
    }

    #[test]
    fn lengths_outside_the_bytes_end_the_iteration_with_an_error() {
        for len in [0_u16, 3, 9, u16::MAX] {
            let mut bytes = len.to_ne_bytes().to_vec();
            bytes.extend([1, 0, 9, 9, 9, 9]);
            let mut attrs = Attrs::new(&bytes);
            assert!(attrs.next().unwrap().is_err(), "length {len}");
            assert!(attrs.next().is_none(), "length {len}");
        }
    }

    #[test]
    fn the_last_padding_may_be_missing() {
        let bytes = [5_u16.to_ne_bytes(), 9_u16.to_ne_bytes()].concat();
        let bytes = [bytes.as_slice(), &[42]].concat();
        let mut attrs = Attrs::new(&bytes);
        assert_eq!(attrs.next().unwrap().unwrap().u8(), Ok(42));
        assert!(attrs.next().is_none());
    }

    #[test]
    fn an_attribute_that_is_too_long_marks_the_writer() {
        let mut writer = Writer::default();
        writer.put(1, &[0; 65_531]);
        assert!(!writer.oversized);
        writer.nest(2, |inner| {
            inner.put(3, &[0; 65_531]);
        });
        assert!(writer.oversized);
    }

    fn walk(bytes: &[u8], depth: u32) -> usize {
        Attrs::new(bytes).flatten().fold(0, |seen, attr| {
            let _ = (
                attr.u8(),
                attr.u16_be(),
                attr.u32_be(),
                attr.ip(),
                attr.text(),
            );
            let inside = if depth == 0 {
                0
            } else {
                walk(attr.bytes, depth - 1)
            };
            seen + attr.bytes.len() + inside
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic_or_a_byte_twice(
            bytes in prop::collection::vec(any::<u8>(), 0..512),
        ) {
            assert!(walk(&bytes, 0) <= bytes.len());
            walk(&bytes, 4);
        }

        // Random lengths rarely land inside the bytes; small ones reach the deeper paths.
        #[test]
        fn plausible_lengths_are_walked_without_a_panic(
            words in prop::collection::vec((0_u16..40, any::<u16>(), any::<u32>()), 0..64),
        ) {
            let bytes: Vec<u8> = words
                .iter()
                .flat_map(|(len, kind, data)| {
                    [&len.to_ne_bytes()[..], &kind.to_ne_bytes(), &data.to_ne_bytes()].concat()
                })
                .collect();
            assert!(walk(&bytes, 0) <= bytes.len());
            walk(&bytes, 4);
        }
    }
}
