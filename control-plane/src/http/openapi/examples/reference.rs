//! How bodies refer to examples.

use serde_json::Value;
use utoipa::openapi::{Components, Content, Ref, RefOr, example::ExampleBuilder};

/// Puts an example into the components, and a reference to it into the content, both under this name.
pub fn refer_to(content: &mut Content, name: &str, summary: &str, value: Value, components: &mut Components) {
    let example = ExampleBuilder::new().summary(summary).value(Some(value)).build();
    components.examples.insert(name.to_owned(), example.into());
    let reference = Ref::new(format!("#/components/examples/{name}"));
    content.examples.insert(name.to_owned(), RefOr::Ref(reference));
}
