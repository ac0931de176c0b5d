//! Which file of a crate imports from which, read with `syn`.
//!
//! An import is a `use`, or a path in code. It leads to the file that defines the item, whichever module re-exports it.
//! A module does not import from its child by `mod child;` or by `pub use child::Item;`, and nobody imports anything by
//! naming a module alone. Code for tests is left out.

use std::collections::BTreeMap;

use proc_macro2::{Span, TokenStream};
use syn::{
    Attribute, ImplItemFn, Item, ItemMod, ItemUse, Macro, Meta, MetaList, Path, UseTree, Visibility,
    spanned::Spanned,
    visit::{self, Visit},
};

/// The path of each file in the workspace, and its text.
pub type Files = BTreeMap<String, String>;
/// The names that lead to a module from the root of its crate.
type ModulePath = Vec<String>;

pub struct Import {
    pub file: String,
    pub line: usize,
    pub path: Vec<String>,
    /// The file that defines the item. `None` if it is another crate's, or a module.
    pub target: Option<String>,
}

/// All imports of the crate in this folder.
pub fn imports(folder: &str, files: &Files) -> Vec<Import> {
    let mut source = Crate { name: folder.replace('-', "_"), files, modules: BTreeMap::new() };
    let roots = ["lib", "main"].map(|name| (name, format!("{folder}/src/{name}.rs")));
    for (name, file) in roots.into_iter().filter(|(_, file)| files.contains_key(file)) {
        // The program of a crate that is a library too is taken for one of its modules.
        let path = if source.modules.is_empty() { vec![] } else { vec![name.to_owned()] };
        source.add_file(path, file, format!("{folder}/src"));
    }
    source.modules.iter().flat_map(|(path, module)| source.imports_of(path, module)).collect()
}

struct Crate<'a> {
    name: String,
    files: &'a Files,
    modules: BTreeMap<ModulePath, Module>,
}

#[derive(Default)]
struct Module {
    file: String,
    /// What each `use` brings in, by its name in this module.
    aliases: BTreeMap<String, Vec<String>>,
    /// Every path that takes something from somewhere, and its line.
    paths: Vec<(Vec<String>, usize)>,
}

impl Crate<'_> {
    fn add_file(&mut self, path: ModulePath, file: String, folder: String) {
        let syntax = syn::parse_file(&self.files[&file]).unwrap();
        self.add_module(path, file, folder, &syntax.items);
    }

    /// `folder` is where the files of its child modules are.
    fn add_module(&mut self, path: ModulePath, file: String, folder: String, items: &[Item]) {
        let mut module = Module { file: file.clone(), ..Module::default() };
        items.iter().for_each(|item| module.visit_item(item));
        self.modules.insert(path.clone(), module);
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            if let Item::Mod(child) = item {
                self.add_child(&path, &file, &folder, child);
            }
        }
    }

    fn add_child(&mut self, parent: &[String], file: &str, folder: &str, child: &ItemMod) {
        let path = [parent, &[child.ident.to_string()]].concat();
        let folder = format!("{folder}/{}", child.ident);
        if let Some((_, items)) = &child.content {
            return self.add_module(path, file.to_owned(), folder, items);
        }
        let candidates = [format!("{folder}.rs"), format!("{folder}/mod.rs")];
        let file = candidates.into_iter().find(|file| self.files.contains_key(file)).unwrap();
        self.add_file(path, file, folder);
    }

    /// What a module imports, each item once: at its `use`, or else where it is named first.
    fn imports_of(&self, at: &ModulePath, module: &Module) -> Vec<Import> {
        let mut imports = BTreeMap::new();
        for (path, line) in &module.paths {
            let (target, item) = match self.definer(at, path) {
                Some((definer, item)) => (Some(self.modules[&definer].file.clone()), item),
                None => (None, path.join("::")),
            };
            if target.as_ref() != Some(&module.file) {
                let import = Import { file: module.file.clone(), line: *line, path: path.clone(), target };
                imports.entry((import.target.clone(), item)).or_insert(import);
            }
        }
        imports.into_values().collect()
    }

    /// The item that a path in the module `at` names, and the module that defines it, if that is one of this crate.
    fn definer(&self, at: &[String], path: &[String]) -> Option<(ModulePath, String)> {
        let (mut at, mut rest) = (at.to_vec(), path.to_vec());
        let mut is_first = true;
        // Each round takes one name off the path, or follows one `use`. No path of ours takes so many.
        for _ in 0..100 {
            let name = rest.first()?.clone();
            let child = [&at[..], std::slice::from_ref(&name)].concat();
            match name.as_str() {
                "self" => {}
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                name if is_first && name == self.name => at.clear(),
                _ if self.modules.contains_key(&child) => at = child,
                name => match self.modules[&at].aliases.get(name) {
                    Some(path) => {
                        rest.splice(..1, path.iter().cloned());
                        is_first = true;
                        continue;
                    }
                    // A name that stands alone is its own module's, or another crate.
                    None => return (!is_first).then(|| (at, name.to_owned())),
                },
            }
            rest.remove(0);
            is_first = false;
        }
        None
    }
}

impl Module {
    fn add_use(&mut self, tree: &UseTree, before: &[String], is_private: bool) {
        let (name, last) = match tree {
            UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                return self.add_use(&path.tree, &before, is_private);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.add_use(tree, before, is_private));
            }
            UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
            UseTree::Rename(rename) => (rename.rename.to_string(), rename.ident.to_string()),
            UseTree::Glob(_) => ("*".to_owned(), "*".to_owned()),
        };
        let is_self = last == "self";
        let path = if is_self { before.to_vec() } else { [before, &[last]].concat() };
        let name = path.last().filter(|_| is_self && name == "self").cloned().unwrap_or(name);
        let is_reexport_of_child = !is_private && !["crate", "super"].contains(&&*path[0]);
        if !is_reexport_of_child {
            self.add_path(path.clone(), tree.span());
        }
        // `use worker::{self}` brings in nothing that was not there.
        if path != [name.as_str()] {
            self.aliases.insert(name, path);
        }
    }

    fn add_path(&mut self, path: Vec<String>, span: Span) {
        self.paths.push((path, span.start().line));
    }

    /// The arguments of macros and attributes are not parsed; what looks like a path in them is one.
    fn add_tokens(&mut self, tokens: &TokenStream) {
        let text = tokens.to_string().replace(" :: ", "::");
        let words = text.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
        for path in words.filter(|word| word.contains("::")) {
            self.add_path(path.split("::").map(str::to_owned).collect(), tokens.span());
        }
    }
}

impl Visit<'_> for Module {
    fn visit_item(&mut self, item: &Item) {
        // Child modules are visited by themselves.
        if !is_for_tests(attributes(item)) && !matches!(item, Item::Mod(_)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        self.add_use(&item.tree, &[], matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &Path) {
        self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect(), path.span());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &Macro) {
        self.visit_path(&call.path);
        self.add_tokens(&call.tokens);
    }

    fn visit_meta_list(&mut self, list: &MetaList) {
        self.visit_path(&list.path);
        self.add_tokens(&list.tokens);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether it is compiled only if the condition of a `#[cfg(…)]` asks for tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    let asks = |attribute: &Attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            let mut words = condition.split(|c: char| !c.is_alphanumeric());
            words.clone().any(|word| word == "test") && words.all(|word| word != "not")
        }
        _ => false,
    };
    attributes.iter().any(asks)
}
