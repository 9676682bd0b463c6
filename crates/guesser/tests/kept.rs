//! What guesser keeps for a later run, on this kernel: captures, which replay as the run went, and the
//! cache, which is believed only as far as fresh connections confirm it. Needs root and setpriv.
#![expect(clippy::unwrap_used, reason = "a test proves what it unwraps")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use harness::Finished;
use harness::PublicCopy;
use harness::need_root;
use harness::run;
use shared::offsets::Document;
use shared::offsets::codec;

const GUESSER: &str = env!("CARGO_BIN_EXE_guesser");

/// The only line, of a run that ended like this.
fn line(said: &Finished, code: i32) -> &str {
    assert_eq!(said.code, code, "{}", said.err);
    assert!(said.bytes.is_empty());
    match said.lines()[..] {
        [line] => line,
        _ => panic!("not one line: {}", said.err),
    }
}

/// Runs it in this directory with these words.
fn guesser(dir: &Path, words: &str) -> Finished {
    need_root();
    run(Command::new(GUESSER)
        .args(words.split_whitespace())
        .current_dir(dir))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_capture_replays_as_the_run_went_and_without_privilege() {
    let copy = PublicCopy::of(GUESSER);
    let dir = tempfile::tempdir_in(copy.folder()).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let record = "--fields all --method guess --format json -q --record capture";
    let live = guesser(dir.path(), record).json();
    let capture = dir.path().join("capture");
    let mode = fs::metadata(&capture).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(files(dir.path()).len(), 1);

    let replay = "--replay capture --format json";
    let said = guesser(dir.path(), replay);
    assert!(said.err.contains("replayed, not verified"), "{}", said.err);
    for key in ["fields", "kernel", "schema"] {
        assert_eq!(said.json()[key], live[key]);
    }
    let explained = guesser(dir.path(), "--replay capture -o /dev/null --explain");
    assert!(explained.err.contains("sk_buff._nfct"));

    fs::set_permissions(&capture, fs::Permissions::from_mode(0o644)).unwrap();
    let mut nobody = copy.as_nobody(&[]);
    nobody.args(replay.split_whitespace());
    assert_eq!(
        run(nobody.current_dir(dir.path())).json()["fields"],
        live["fields"]
    );
}

#[test]
fn a_file_that_is_no_capture_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let synthetic = concat!(env!("CARGO_MANIFEST_DIR"), "/src/replay/synthetic.capture");
    let whole = fs::read(synthetic).unwrap();
    let mut newer = whole.clone();
    newer[8] += 1;
    let mut flipped = whole.clone();
    flipped[200] ^= 4;
    for (bytes, why) in [
        (&b""[..], "no offsets capture: the input is empty"),
        (b"{}", "not an offsets capture"),
        (&whole[..whole.len() - 1], "offsets capture is cut short"),
        (&[&whole[..], b"\0"].concat(), "offsets capture is too long"),
        (&newer, "offsets capture of version 2, this program reads 1"),
        (&flipped, "offsets capture is corrupt: checksum"),
        (&vec![0; 33 << 20], "offsets capture is too long"),
    ] {
        fs::write(dir.path().join("capture"), bytes).unwrap();
        let said = guesser(dir.path(), "--replay capture");
        assert!(line(&said, 3).contains(why), "{}", said.err);
    }
    assert!(line(&guesser(dir.path(), "--replay absent"), 3).contains("No such file"));
}

#[test]
fn contradictory_options_are_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        "--replay x --pin y",
        "--replay x --cache .",
        "--replay x --method btf",
        "--replay x --hook auto",
        "--replay x --fields all",
        "--replay x --record y",
        "--record x --method btf",
        "--record x --cache .",
    ] {
        line(&guesser(dir.path(), words), 2);
    }
    assert!(files(dir.path()).is_empty());
}

#[test]
fn an_unusable_path_is_refused_before_any_work() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for words in [
        "--record no/such/dir",
        "--record /dev/null",
        "--record .",
        "--cache no/such/dir",
        "--cache file",
    ] {
        line(&guesser(dir.path(), words), 3);
    }
    assert_eq!(files(dir.path()).len(), 1);
}

/// Writes the only file of a cache anew, with one thing changed.
fn tamper(cache: &Path, change: impl Fn(&mut Document)) {
    let file = &files(cache)[0];
    let mut document = codec::decode(&fs::read(file).unwrap()).unwrap();
    change(&mut document);
    fs::write(file, codec::encode(&document).unwrap()).unwrap();
}

#[test]
fn the_cache_is_used_only_if_fresh_connections_confirm_it() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path();
    let words = "--fields all --format json -v --cache .";
    let served = "served from the cache";
    let first = guesser(cache, words);
    let truth = first.json()["fields"].clone();
    assert!(!first.err.contains(served));
    let kept = files(cache);
    assert_eq!(kept.len(), 1);
    let mode = fs::metadata(&kept[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let bytes = fs::read(&kept[0]).unwrap();

    let second = guesser(cache, words);
    assert!(second.err.contains(served), "{}", second.err);
    // Offsets, evidence and what BTF says: all as it was.
    assert_eq!(second.json()["fields"], truth);
    assert_eq!(fs::read(&kept[0]).unwrap(), bytes);
    let without = guesser(cache, &format!("{words} --no-cache"));
    assert!(!without.err.contains(served));
    let other_set = guesser(cache, "-q --cache . --fields conntrack");
    assert_eq!((other_set.code, other_set.err.as_str()), (0, ""));
    assert_eq!(files(cache).len(), 2);
    fs::remove_file(files(cache).iter().find(|file| **file != kept[0]).unwrap()).unwrap();

    // Each of these is noticed, and repaired by measuring anew.
    let wrong_mark = |document: &mut Document| {
        let is_mark = |name: &str| name == "nf_conn.mark";
        let mark = document
            .fields
            .iter_mut()
            .find(|field| is_mark(&field.name));
        let mark = mark.unwrap();
        mark.offset = mark.offset.map(|offset| offset + 4);
    };
    let wrong_pointer = |document: &mut Document| {
        let is_pointer = |name: &str| name == "sock.sk_socket";
        let pointer = document
            .fields
            .iter_mut()
            .find(|field| is_pointer(&field.name));
        let pointer = pointer.unwrap();
        pointer.offset = pointer.offset.map(|offset| offset + 8);
    };
    let other_kernel = |document: &mut Document| document.kernel.version.push('x');
    let lacks_a_field = |document: &mut Document| drop(document.fields.remove(3));
    type Change<'a> = &'a dyn Fn(&mut Document);
    for (change, why) in [
        (
            &wrong_mark as Change<'_>,
            "do not confirm the cached nf_conn.mark",
        ),
        (&wrong_pointer, "do not confirm the cached socket.sk"),
        (&other_kernel, "is not used: offsets of another kernel"),
        (&lacks_a_field, "is not used: it does not have"),
    ] {
        tamper(cache, change);
        let said = guesser(cache, &words.replace(" -v", ""));
        assert_eq!(said.json()["fields"].as_array().unwrap().len(), 35);
        let lines: Vec<&str> = said.err.lines().collect();
        assert_eq!(lines.len(), 2, "a warning and the summary: {lines:?}");
        assert!(lines[0].contains(why), "{}", lines[0]);
        assert!(guesser(cache, words).err.contains(served), "after {why}");
    }
    fs::write(&kept[0], "nonsense").unwrap();
    let said = guesser(cache, "--fields all -o /dev/null --cache .");
    assert!(said.err.contains("not an offsets document"), "{}", said.err);
    assert_eq!(said.err.lines().count(), 2);
    assert_eq!(files(cache), kept);
}
