//! A macro for enums whose variants have a number in the ring's ABI and a name in texts.

/// Makes the enum, with `ALL`, `name` and `from_number`, from one row for each variant.
macro_rules! numbered {
    ($(#[$doc:meta])* pub enum $enum:ident: $int:ident {
        $($(#[$about:meta])* $variant:ident = $number:literal, $name:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr($int)]
        pub enum $enum { $($(#[$about])* $variant = $number,)* }

        impl $enum {
            /// Every one, in the order of their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// The name in records, in summaries and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The one with this number.
            #[must_use]
            pub fn from_number(number: $int) -> Option<Self> {
                Self::ALL.into_iter().find(|known| *known as $int == number)
            }
        }
    };
}

pub(crate) use numbered;
