//! From modules to arrows between files: which file uses what another defines. A name that a module
//! only re-exports belongs to the file that defines it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::tree::Module;
use crate::tree::Modules;
use crate::tree::Names;

/// For each file, the files that it uses, and of each what.
pub type Arrows = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// The arrows between the files of a crate.
pub fn arrows(modules: &Modules) -> Arrows {
    let mut arrows = Arrows::new();
    for (path, module) in modules {
        let mut add = |names: &Names| {
            let file = resolve(modules, path, names, 0).map(|place| &modules[&place].file);
            if let Some(file) = file.filter(|file| **file != module.file) {
                let from = arrows.entry(module.file.clone()).or_default();
                from.entry(file.clone())
                    .or_default()
                    .insert(names.join("::"));
            }
        };
        module.named.iter().for_each(&mut add);
        let is_used = |names: &&Names| !is_for_others(modules, path, module, names);
        module.exported.iter().filter(is_used).for_each(&mut add);
    }
    arrows
}

/// Does a module only hand on to others what a module below it defines?
fn is_for_others(modules: &Modules, path: &Names, module: &Module, names: &Names) -> bool {
    let place = resolve(modules, path, names, 0);
    let is_below = place.is_some_and(|place| place.starts_with(path));
    let name = names.last().map_or("", String::as_str);
    is_below && !module.counts.contains_key(name)
}

/// The module that defines what these names lead to, seen from a module; none if it is of another crate.
fn resolve(modules: &Modules, from: &Names, names: &[String], depth: u32) -> Option<Names> {
    // An import can lead to itself, where it is of another crate's item of the same name.
    if depth > 16 {
        return None;
    }
    let (first, mut rest) = names.split_first()?;
    let mut place = from.clone();
    match first.as_str() {
        "crate" => place.clear(),
        "self" => {}
        "super" => {
            place.pop()?;
        }
        _ => return member(modules, &place, names, depth),
    }
    while let Some(("super", behind)) = rest.split_first().map(|(name, rest)| (name.as_str(), rest))
    {
        place.pop()?;
        rest = behind;
    }
    if rest.is_empty() {
        return Some(place);
    }
    // What a module that is named outright lacks, a macro has made there.
    member(modules, &place, rest, depth).or(Some(place))
}

/// The same, of names that begin with something in a module.
fn member(modules: &Modules, place: &Names, names: &[String], depth: u32) -> Option<Names> {
    let module = modules.get(place)?;
    let (first, rest) = names.split_first()?;
    let below = [&place[..], std::slice::from_ref(first)].concat();
    if modules.contains_key(&below) {
        if rest.is_empty() {
            return Some(below);
        }
        return member(modules, &below, rest, depth).or(Some(below));
    }
    if module.defined.contains(first) {
        return Some(place.clone());
    }
    if let Some(import) = module.imported.get(first) {
        return resolve(modules, place, &[&import[..], rest].concat(), depth + 1);
    }
    let from_glob = |glob: &Names| {
        let source = resolve(modules, place, glob, depth + 1)?;
        let found = member(modules, &source, names, depth + 1)?;
        (found != *place).then_some(found)
    };
    module.globs.iter().find_map(from_glob)
}

/// The circles: sets of files in which each leads to each other.
pub fn circles(arrows: &Arrows) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = arrows
        .keys()
        .map(|file| (file, reached_from(arrows, file)))
        .collect();
    let leads =
        |from: &PathBuf, to: &PathBuf| reached.get(from).is_some_and(|files| files.contains(to));
    let circle_of = |file: &PathBuf| -> BTreeSet<PathBuf> {
        let others = arrows
            .keys()
            .filter(|other| leads(file, other) && leads(other, file));
        others.cloned().collect()
    };
    let circles: BTreeSet<_> = arrows.keys().map(circle_of).collect();
    circles
        .into_iter()
        .filter(|circle| !circle.is_empty())
        .collect()
}

fn reached_from<'a>(arrows: &'a Arrows, start: &PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&PathBuf> = arrows[start].keys().collect();
    while let Some(file) = left.pop() {
        if reached.insert(file) {
            left.extend(arrows.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}

#[cfg(test)]
#[path = "arrows_tests.rs"]
mod tests;
