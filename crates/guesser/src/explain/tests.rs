//! Golden output: a search that succeeds, one that keeps several candidates, one that loses all, and one
//! whose pointer is not proven.

use shared::offsets::Field;

use super::*;
use guess::fields::Event;
use guess::solve::sample::Expected;
use guess::solve::sample::View;
use guess::solve::sample::Worth;

const ASCII: Page = Page {
    columns: 80,
    has_unicode: false,
};

/// A route lookup with a known source address, of which the kernel shows these words.
fn lookup(name: &str, saddr: u32, shown: &[u32]) -> Sample {
    let bytes = shown.iter().flat_map(|word| word.to_ne_bytes()).collect();
    Sample {
        name: name.to_owned(),
        event: Event::Route4,
        expected: vec![(
            Place::Field(Field::Flowi4Saddr),
            Expected::Bytes {
                bytes: saddr.to_ne_bytes().to_vec(),
                worth: Worth::Given(24),
            },
        )],
        views: vec![View {
            path: AccessPath::to_shown(Event::Route4),
            address: 0xffff_8880_0000_0000,
            parent_address: 0xffff_8880_0000_0000,
            bytes,
        }],
    }
}

fn explained(fields: &[Field], samples: &[Sample], page: Page) -> Vec<String> {
    let mut solver = Solver::new(fields);
    for sample in samples {
        solver.observe(sample);
        solver.advance();
    }
    lines(&solver, &solver.findings(), samples, page)
}

const SADDR: &[Field] = &[Field::Flowi4Saddr];

fn check(lines: &[String], expected: &[&str]) {
    assert_eq!(lines, expected, "{}", lines.join("\n"));
}

#[test]
fn one_candidate_is_left() {
    let mut zeros = [0; 32];
    zeros[10] = 7;
    zeros[11] = 7;
    let first = lookup("the first", 7, &zeros);
    zeros[10] = 8;
    let second = lookup("the second", 8, &zeros);
    zeros[10] = 9;
    let third = lookup("the third", 9, &zeros);
    let samples = [first, second, third];
    check(
        &explained(SADDR, &samples, ASCII),
        &[
            "flowi4.saddr: proven at 40; 67 bits of evidence (40 needed)",
            "     32 ################ possible in what Route4 shows",
            "      2 ####             #1 the first",
            "      1 #                #2 not 44, the second",
            "        0 .......^....................................... 256  at 40",
        ],
    );
    let page = Page {
        columns: 60,
        has_unicode: true,
    };
    check(
        &explained(SADDR, &samples, page),
        &[
            "flowi4.saddr: proven at 40; 67 bits of evidence (4…",
            "     32 ████████████████ possible in what Route4 s…",
            "      2 ████             #1 the first",
            "      1 █                #2 not 44, the second",
            "        0 ····▲······················ 256  at 40",
        ],
    );
}

#[test]
fn several_candidates_are_left() {
    let shown = [7, 0, 7, 0, 7];
    check(
        &explained(SADDR, &[lookup("the only one", 7, &shown)], ASCII),
        &[
            "flowi4.saddr: AMBIGUOUS; 21 bits of evidence (40 needed)",
            "  3 offsets agree with every sample",
            "      5 ################ possible in what Route4 shows",
            "      3 ###########      #1 the only one",
            "        0 ^^^............................................ 256",
            "        left: 0, 8, 16",
        ],
    );
}

#[test]
fn no_candidate_is_left() {
    let samples = [lookup("good", 7, &[7, 8]), lookup("bad", 9, &[7, 8])];
    check(
        &explained(SADDR, &samples, ASCII),
        &[
            "flowi4.saddr: MISSING; 47 bits of evidence (40 needed)",
            "  no offset below 256 agrees with every sample",
            "      2 ################ possible in what Route4 shows",
            "      1 #                #1 good",
            "      0                  #2 not 0, bad",
            "        0 ............................................... 256",
            "        left: none",
        ],
    );
}

#[test]
fn the_pointer_to_it_is_not_proven() {
    check(
        &explained(&[Field::NfConnMark], &[], ASCII),
        &[
            "sk_buff._nfct: not proven; not asked for, needed for others",
            "  in what Packet shows: no sample",
            "nf_conn.mark: MISSING; no evidence",
            "  sk_buff._nfct, which leads to it, is not proven",
        ],
    );
}

#[test]
fn no_byte_of_memory_is_shown() {
    let secret = 0xdead_beef;
    let samples = [lookup("one", secret, &[1, secret, 3, secret])];
    let text = explained(SADDR, &samples, ASCII).join("\n");
    for form in [format!("{secret:x}"), secret.to_string()] {
        assert!(!text.contains(&form), "{text}");
    }
    assert!(!text.contains("ffff8880"), "{text}");
}
