//! The two forms of the report: a line per probe for people and awk, one JSON object for programs.
//! Decides nothing.

use std::io;
use std::io::Write;

use serde::Serialize;
use shared::kernel::KernelIdentity;
use shared::line::Lines;

use crate::outcome::Outcome;
use crate::probe::Probe;

/// One line per probe: name, verdict, errno or `-`, sentence.
pub fn text<W: Write>(lines: &mut Lines<W>, probes: &[Probe]) -> io::Result<()> {
    for probe in probes {
        let (name, answer) = (probe.name, &probe.answer);
        let (verdict, detail) = (answer.verdict.as_str(), &answer.detail);
        let errno = answer.errno.map_or("-".into(), |errno| errno.to_string());
        lines.text(&format!("{name:<28} {verdict:<9} {errno:<10} {detail}"))?;
    }
    Ok(())
}

/// `{"kernel":{…},"probes":[…],"verdict":"…"}`, with `source` and `offsets` when it is ready.
pub fn json<W: Write>(
    lines: &mut Lines<W>,
    kernel: &KernelIdentity,
    probes: &[Probe],
    outcome: &Outcome,
) -> io::Result<()> {
    #[derive(Serialize)]
    struct Report<'a> {
        kernel: &'a KernelIdentity,
        probes: &'a [Probe],
        verdict: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offsets: Option<&'static str>,
    }
    let (source, offsets) = match outcome {
        Outcome::Ready(source, offsets) => (Some(source.name()), Some(offsets.as_str())),
        _ => (None, None),
    };
    lines.json(&Report {
        kernel,
        probes,
        verdict: outcome.as_str(),
        source,
        offsets,
    })
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use shared::ring::layout::Source;

    use super::*;
    use crate::name::Name;
    use crate::outcome::Offsets;
    use crate::probe::Answer;
    use crate::probe::Verdict;

    fn kprobe() -> Probe {
        Probe {
            name: Name::Kprobe,
            answer: Answer {
                errno: Some(Errno::ENOENT.into()),
                lacks: vec!["CAP_BPF".into()],
                ..Answer::new(Verdict::No, "odd \x1b name")
            },
        }
    }

    fn written(write: impl FnOnce(&mut Lines<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        let mut lines = Lines::to(&mut out);
        write(&mut lines).unwrap();
        lines.flush().unwrap();
        drop(lines);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_four_columns_and_drives_no_terminal() {
        assert_eq!(
            written(|lines| text(lines, &[kprobe()])),
            "kprobe                       no        ENOENT     odd \\x1b name\n"
        );
    }

    #[test]
    fn an_object_has_what_is_known_and_nothing_else() {
        let kernel = KernelIdentity {
            release: "6".into(),
            version: "#1".into(),
            machine: "x86_64".into(),
            build_id: None,
        };
        let yes = Probe {
            answer: Answer::new(Verdict::Yes, "seen"),
            ..kprobe()
        };
        let outcome = Outcome::Ready(Source::Tracepoint, Offsets::Guess);
        assert_eq!(
            written(|lines| json(lines, &kernel, &[kprobe(), yes], &outcome)),
            "{\"kernel\":{\"release\":\"6\",\"version\":\"#1\",\"machine\":\"x86_64\"},\"probes\":[\
             {\"name\":\"kprobe\",\"verdict\":\"no\",\"errno\":\"ENOENT\",\"detail\":\"odd \\u001b name\"},\
             {\"name\":\"kprobe\",\"verdict\":\"yes\",\"detail\":\"seen\"}],\
             \"verdict\":\"ready\",\"source\":\"tracepoint\",\"offsets\":\"guess\"}\n"
        );
    }
}
