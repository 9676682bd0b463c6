//! Made-up crates, with and without circles.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::tree;

/// The circles of a crate of these files, as their names.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = TempDir::new().unwrap();
    for (name, source) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, source).unwrap();
    }
    let modules = tree::read(&folder.path().join("lib.rs")).unwrap();
    let name = |path: &PathBuf| {
        path.strip_prefix(folder.path())
            .unwrap()
            .display()
            .to_string()
    };
    let found = circles(&arrows(&modules));
    found
        .iter()
        .map(|circle| circle.iter().map(name).collect())
        .collect()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    for (a, b) in [
        ("use crate::b::B;", "use crate::a::A;"),
        ("use super::b::{B, C};", "pub use super::a;"),
        ("fn f() { crate::b::g(); }", "use crate::a;"),
        ("use super::b; fn f() { b::g() }", "fn g(_: super::a::A) {}"),
        (
            "use crate::{b as c, x};",
            "mod inner { use super::super::a::A; }",
        ),
        ("use crate::b::*;", "use crate::a::A as B;"),
        ("use crate::B;", "use crate::A;"),
    ] {
        let root = "pub mod a; pub(crate) mod b; pub use a::A; pub use self::b::B;";
        let a = format!("{a} struct A;");
        let b = format!("{b} struct B;");
        let found = circles_of(&[("lib.rs", root), ("a.rs", &a), ("b.rs", &b)]);
        assert_eq!(found, [["a.rs", "b.rs"]], "{a} | {b}");
    }
}

#[test]
fn a_long_circle_is_one_and_two_circles_are_two() {
    let root = "mod a; mod b; mod c; mod d; mod e; mod f;";
    let files = [
        ("lib.rs", root),
        ("a.rs", "use crate::b::B;"),
        ("b/mod.rs", "use crate::c::C; pub struct B;"),
        ("c.rs", "use crate::a::A; use crate::d::D;"),
        ("d.rs", "use crate::e::E;"),
        ("e.rs", "use crate::d::D;"),
        ("f.rs", "use crate::a::A; use crate::d::D;"),
    ];
    let found = circles_of(&files);
    assert_eq!(
        found,
        [vec!["a.rs", "b/mod.rs", "c.rs"], vec!["d.rs", "e.rs"]]
    );
}

#[test]
fn a_child_may_use_what_its_parent_only_hands_on() {
    let root = "mod p;";
    let parent = "mod one; mod two; pub use one::One; pub use two::Two;";
    let two = "use super::One; pub struct Two;";
    let files = [
        ("lib.rs", root),
        ("p/mod.rs", parent),
        ("p/one.rs", "pub struct One;"),
        ("p/two.rs", two),
    ];
    assert_eq!(circles_of(&files), Vec::<Vec<String>>::new());
    // What the parent defines and the child uses is another matter, once the parent uses the child.
    let two = "use super::Own; pub struct Two;";
    for (own, is_circle) in [("pub struct Own;", false), ("pub struct Own(Two);", true)] {
        let parent = format!("{parent} {own}");
        let files = [
            ("lib.rs", root),
            ("p/mod.rs", &parent),
            ("p/one.rs", "pub struct One;"),
            ("p/two.rs", two),
        ];
        assert_eq!(circles_of(&files).len(), usize::from(is_circle), "{own}");
    }
}

#[test]
fn tests_comments_strings_and_other_crates_make_no_arrow() {
    let a = "
        use crate::b::B; // use crate::b
        use std::fs; use serde::b;
        struct A;
        #[cfg(test)]
        mod tests { use crate::b::B; }";
    let b = "
        // use crate::a::A;
        const TEXT: &str = \"crate::a::A\";
        struct B { #[cfg(test)] a: crate::a::A, b: u8 }
        #[cfg(test)]
        use crate::a::A;
        #[cfg(all(test, not(loom)))]
        #[path = \"absent.rs\"]
        mod tests;";
    let files = [("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", b)];
    assert_eq!(circles_of(&files), Vec::<Vec<String>>::new());
}

#[test]
fn what_is_not_only_for_tests_makes_an_arrow() {
    for condition in ["not(test)", "any(test, unix)", "all(unix, any(test, unix))"] {
        let a = format!("pub struct A; #[cfg({condition})] fn f(_: crate::b::B) {{}}");
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", &a),
            ("b.rs", "pub struct B(crate::a::A);"),
        ];
        assert_eq!(circles_of(&files).len(), 1, "{condition}");
    }
}

#[test]
fn a_path_behind_a_loop_or_a_range_makes_an_arrow() {
    for code in [
        "for _ in crate::b::LIST {}",
        "let _ = 0..crate::b::N;",
        "let _ = X { a: 1, ..crate::b::DEFAULT };",
    ] {
        let a = format!("pub struct A; fn f() {{ {code} }}");
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", &a),
            (
                "b.rs",
                "pub const LIST: crate::a::A = 0; pub const N: u8 = 0; pub const DEFAULT: u8 = 0;",
            ),
        ];
        assert_eq!(circles_of(&files).len(), 1, "{code}");
    }
}
