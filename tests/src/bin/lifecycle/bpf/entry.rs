//! An entry of the NAT table as bytes, and its fields.

use std::mem::offset_of;

use super::secrets::hidden;
use super::skel::types;

/// Key and value, as they lie in the map of this family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub is_v6: bool,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

macro_rules! fields {
    ($($part:ident $c:ident $name:ident: $int:ty;)*) => {
        impl Entry {
            $(
                pub fn $name(&self) -> $int {
                    let at = offset_of!(types::$c, $name);
                    let bytes = self.$part[at..].first_chunk();
                    <$int>::from_ne_bytes(*bytes.expect("the struct is longer"))
                }
            )*
        }
    };
}

fields! {
    key flow6_key clash: u32;
    value flow6 ct: u64;
    value flow6 ct_id: u64;
    value flow6 status: u32;
    value flow6 mark: u32;
    value flow6 expires_jiffies: u32;
    value flow6 flags: u8;
}

impl Entry {
    /// The same connection as a dump shows it: without its `nf_conn`.
    pub fn without_nf_conn(mut self) -> Self {
        let at = offset_of!(types::flow6, ct);
        self.value[at..at + 8].fill(0);
        self
    }

    /// The same, seen that much earlier.
    pub fn seen_earlier(mut self, by_ns: u64) -> Self {
        let at = offset_of!(types::flow6, first_seen_ns);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.value[at..at + 8]);
        let earlier = u64::from_ne_bytes(bytes).saturating_sub(by_ns);
        self.value[at..at + 8].copy_from_slice(&earlier.to_ne_bytes());
        self
    }

    /// Says that the `nf_conn` is at another address.
    pub fn move_to(&mut self, address: u64) {
        let at = offset_of!(types::flow6, ct);
        self.value[at..at + 8].copy_from_slice(&hidden(address).to_ne_bytes());
    }
}
