//! The modules of a crate as its files declare them: what each defines, imports and names by a path.
//! Code for tests is left out.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::token::Token;
use crate::token::tokens;

/// The names that lead to something.
pub type Names = Vec<String>;

/// One module: a file, or a part of one.
#[derive(Debug, Default)]
pub struct Module {
    /// Where its code is.
    pub file: PathBuf,
    /// What it defines itself.
    pub defined: HashSet<String>,
    /// What it imports, by the name that it has here.
    pub imported: HashMap<String, Names>,
    /// Modules of which it imports everything.
    pub globs: Vec<Names>,
    /// The paths that its code names.
    pub named: Vec<Names>,
    /// Its imports that others see: re-exports.
    pub exported: Vec<Names>,
    /// How often each name is in its code.
    pub counts: HashMap<String, usize>,
}

/// The modules of a crate, by the path from its root.
pub type Modules = BTreeMap<Names, Module>;

/// Reads a crate from its root file.
///
/// # Errors
/// If a file cannot be read.
pub fn read(root: &Path) -> io::Result<Modules> {
    let mut modules = Modules::new();
    let folder = root.parent().unwrap_or(Path::new("."));
    read_file(root, folder, Names::new(), &mut modules)?;
    Ok(modules)
}

/// Reads a file and its modules, whose files are in this folder.
fn read_file(file: &Path, folder: &Path, path: Names, modules: &mut Modules) -> io::Result<()> {
    let source = fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    let tokens = tokens(&source);
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        file,
        modules,
    };
    reader.module(folder, path)
}

/// Goes through the tokens of a file.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    file: &'a Path,
    modules: &'a mut Modules,
}

/// What attributes say of the item behind them.
#[derive(Default)]
struct Attributes {
    is_for_tests: bool,
    path: Option<String>,
}

/// Whether a `cfg` holds in tests only: `test` itself, or as one of `all`. With `any` or `not` around it,
/// what follows is there without tests as well.
fn wants_test(cfg: &[Token]) -> bool {
    let mut around = Vec::new();
    let mut last = "";
    for token in cfg {
        match token {
            Token::Mark('(') => around.push(last),
            Token::Mark(')') => {
                around.pop();
            }
            Token::Name(name) if name == "test" => {
                return around.iter().all(|group| ["cfg", "all"].contains(group));
            }
            _ => {}
        }
        last = token.name().unwrap_or_default();
    }
    false
}

impl Reader<'_> {
    fn is(&self, ahead: usize, what: &str) -> bool {
        let token = self.tokens.get(self.at + ahead);
        token.is_some_and(|token| token.is(what))
    }

    fn name(&self, ahead: usize) -> Option<&str> {
        self.tokens.get(self.at + ahead)?.name()
    }

    fn was(&self, back: usize, what: &str) -> bool {
        let token = self.at.checked_sub(back).map(|at| &self.tokens[at]);
        token.is_some_and(|token| token.is(what))
    }

    /// Reads until the brace that ends the module, or the end of the file.
    fn module(&mut self, folder: &Path, path: Names) -> io::Result<()> {
        let mut module = Module {
            file: self.file.to_owned(),
            ..Module::default()
        };
        let mut depth = 0;
        let mut attributes = Attributes::default();
        while let Some(token) = self.tokens.get(self.at) {
            if self.is(0, "#") && (self.is(1, "[") || self.is(1, "!") && self.is(2, "[")) {
                self.attribute(&mut attributes);
                continue;
            }
            if attributes.is_for_tests {
                self.skip_item();
                attributes = Attributes::default();
                continue;
            }
            if let Some(name) = token.name() {
                *module.counts.entry(name.to_owned()).or_default() += 1;
            }
            if matches!(token, Token::Mark(';' | '{' | '}')) {
                attributes = Attributes::default();
            }
            match token {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') if depth == 0 => break,
                Token::Mark('}') => depth -= 1,
                Token::Name(word) => match (word.as_str(), self.name(1)) {
                    ("mod", Some(name)) => {
                        let name = name.to_owned();
                        let path = [&path[..], std::slice::from_ref(&name)].concat();
                        if self.is(2, "{") {
                            self.at += 3;
                            self.module(&folder.join(&name), path)?;
                        } else if self.is(2, ";") {
                            self.at += 2;
                            let named = attributes.path.take();
                            self.submodule(folder, &name, named, path)?;
                        }
                    }
                    ("use", _) => {
                        self.import(&mut module);
                        continue;
                    }
                    (
                        "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static",
                        Some(name),
                    ) if depth == 0 => {
                        module.defined.insert(name.to_owned());
                    }
                    ("macro_rules", _) => {
                        module.defined.extend(self.name(2).map(str::to_owned));
                    }
                    _ => self.path(&mut module),
                },
                _ => {}
            }
            self.at += 1;
        }
        self.modules.insert(path, module);
        Ok(())
    }

    /// Reads the file of a module that is declared here.
    fn submodule(
        &mut self,
        folder: &Path,
        name: &str,
        named: Option<String>,
        path: Names,
    ) -> io::Result<()> {
        let beside = folder.join(format!("{name}.rs"));
        let inside = folder.join(name).join("mod.rs");
        let own = self.file.parent().unwrap_or(folder);
        let file = match named {
            Some(named) => own.join(named),
            None if inside.is_file() => inside,
            None => beside,
        };
        read_file(&file, &folder.join(name), path, self.modules)
    }

    /// Takes an attribute.
    fn attribute(&mut self, attributes: &mut Attributes) {
        let start = self.at;
        while !self.is(0, "[") {
            self.at += 1;
        }
        self.skip_group();
        let inside = &self.tokens[start..self.at];
        let is_named = |word: &str| inside.get(2).is_some_and(|token| token.is(word));
        attributes.is_for_tests |= is_named("cfg") && wants_test(inside);
        if let (true, Some(Token::Text(path))) = (is_named("path"), inside.get(4)) {
            attributes.path = Some(path.clone());
        }
    }

    /// Takes the group that opens here.
    fn skip_group(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.tokens.get(self.at) {
            match token {
                Token::Mark('{' | '(' | '[') => depth += 1,
                Token::Mark('}' | ')' | ']') => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Takes an item, or a field or arm, up to its end.
    fn skip_item(&mut self) {
        const FIRST: [&str; 15] = [
            "pub",
            "mod",
            "use",
            "fn",
            "struct",
            "enum",
            "trait",
            "type",
            "const",
            "static",
            "impl",
            "unsafe",
            "async",
            "extern",
            "macro_rules",
        ];
        let is_item = FIRST.iter().any(|first| self.is(0, first));
        while self.at < self.tokens.len() {
            if self.is(0, "}") {
                return;
            }
            let is_end = self.is(0, ";") || self.is(0, "{") || !is_item && self.is(0, ",");
            self.skip_group();
            if is_end {
                return;
            }
        }
    }

    /// Takes an import up to its semicolon.
    fn import(&mut self, module: &mut Module) {
        let is_exported = self.was(1, "pub") || self.was(1, ")") && self.was(4, "pub");
        self.at += 1;
        let mut found = Vec::new();
        self.branch(&Names::new(), &mut found);
        while !self.is(0, ";") && self.at < self.tokens.len() {
            self.at += 1;
        }
        for (names, here) in found {
            if here == "*" {
                module.globs.push(names.clone());
            } else {
                module.imported.insert(here, names.clone());
            }
            let to = if is_exported {
                &mut module.exported
            } else {
                &mut module.named
            };
            to.push(names);
        }
    }

    /// Takes one branch of an import: the names that lead to each leaf, and its name here.
    fn branch(&mut self, stem: &Names, found: &mut Vec<(Names, String)>) {
        let mut names = stem.clone();
        loop {
            if self.is(0, "{") {
                self.at += 1;
                while !self.is(0, "}") && self.at < self.tokens.len() {
                    self.branch(&names, found);
                    self.at += usize::from(self.is(0, ","));
                }
                self.at += 1;
                return;
            }
            if self.is(0, "*") {
                self.at += 1;
                found.push((names, "*".into()));
                return;
            }
            let Some(name) = self.name(0).map(str::to_owned) else {
                self.at += 1;
                return;
            };
            self.at += 1;
            // `use a::{self}` imports `a`.
            if name != "self" || names.is_empty() {
                names.push(name);
            }
            if self.is(0, ":") && self.is(1, ":") {
                self.at += 2;
                continue;
            }
            let mut here = names.last().cloned().unwrap_or_default();
            if self.is(0, "as") {
                here = self.name(1).unwrap_or("_").to_owned();
                self.at += 2;
            }
            found.push((names, here));
            return;
        }
    }

    /// Notes the path that begins here, if one does, and stays at its beginning.
    fn path(&self, module: &mut Module) {
        let is_inside = self.was(1, ":") && self.was(2, ":")
                // A method or field, but not the end of a range.
                || self.was(1, ".") && !self.was(2, ".")
                // The rest of `pub(in …)`, but not what a loop goes through.
                || self.was(1, "in") && self.was(2, "(");
        if is_inside {
            return;
        }
        let mut names = Names::new();
        let mut ahead = 0;
        while let Some(name) = self.name(ahead) {
            names.push(name.to_owned());
            if !(self.is(ahead + 1, ":") && self.is(ahead + 2, ":")) {
                break;
            }
            ahead += 3;
        }
        if names.len() > 1 {
            module.named.push(names);
        }
    }
}
