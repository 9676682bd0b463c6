//! Which address stood in a pointer for which object. The addresses mean nothing to us but that
//! one object has one, and another object another one, as long as all of them exist.

/// What a pointer has shown so far.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Vec<(u64, u64)>);

impl Addresses {
    /// Takes note of an object's address, and says whether it agrees with all that is known.
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

/// Whether the kernel could have something there: the top bit of such an address is set on every
/// 64-bit architecture that is supported.
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
