//! Which address a pointer held for which object. All that we know about the addresses is that each object
//! has one, and that no two objects share one while both exist.

/// The addresses that a pointer has held so far.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Vec<(u64, u64)>);

impl Addresses {
    /// Notes an object's address, and returns whether it agrees with the earlier ones.
    pub fn agree(&mut self, object: u64, address: u64) -> bool {
        let consistent = is_kernel_address(address)
            && self
                .0
                .iter()
                .all(|&(known, at)| (known == object) == (at == address));
        if consistent && !self.0.contains(&(object, address)) {
            self.0.push((object, address));
        }
        consistent
    }
}

/// Whether this can be an address of the kernel: its top bit is set on every supported architecture.
#[must_use]
pub const fn is_kernel_address(address: u64) -> bool {
    address >> 63 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_one_address() {
        let at = |low: u64| 0xffff_8880_0000_0000 | low;
        let mut addresses = Addresses::default();
        assert!(addresses.agree(1, at(0x100)));
        assert!(addresses.agree(1, at(0x100)));
        assert!(!addresses.agree(1, at(0x200)), "it moved");
        assert!(!addresses.agree(2, at(0x100)), "two share it");
        assert!(addresses.agree(2, at(0x200)));
        assert!(!addresses.agree(3, 0), "no address");
        assert!(!addresses.agree(3, 0x7fff_0000_0000), "of user space");
    }
}
