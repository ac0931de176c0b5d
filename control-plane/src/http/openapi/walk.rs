//! Ways through the document, for the steps that complete it.

use utoipa::openapi::{OpenApi, RefOr, Schema, path::Operation, schema::ArrayItems};

/// Every operation, with its path.
pub fn operations(document: &mut OpenApi) -> impl Iterator<Item = (&String, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        methods.into_iter().flatten().map(move |operation| (path, operation))
    })
}

/// Visits a schema, and then every schema inside it.
pub fn visit(schema: &mut RefOr<Schema>, visitor: &mut dyn FnMut(&mut RefOr<Schema>)) {
    visitor(schema);
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => object.properties.values_mut().for_each(|property| visit(property, visitor)),
        Schema::OneOf(options) => options.items.iter_mut().for_each(|option| visit(option, visitor)),
        Schema::AllOf(parts) => parts.items.iter_mut().for_each(|part| visit(part, visitor)),
        Schema::AnyOf(options) => options.items.iter_mut().for_each(|option| visit(option, visitor)),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                visit(items, visitor);
            }
        }
        _ => {}
    }
}

/// Visits every schema of the components.
pub fn visit_all(document: &mut OpenApi, visitor: &mut dyn FnMut(&mut RefOr<Schema>)) {
    let schemas = document.components.iter_mut().flat_map(|components| components.schemas.values_mut());
    schemas.for_each(|schema| visit(schema, visitor));
}

/// The description of a schema, if it has one.
pub fn description(schema: &mut RefOr<Schema>) -> Option<&mut String> {
    match schema {
        RefOr::Ref(reference) => Some(&mut reference.description).filter(|text| !text.is_empty()),
        RefOr::T(Schema::Object(object)) => object.description.as_mut(),
        RefOr::T(Schema::Array(array)) => array.description.as_mut(),
        RefOr::T(Schema::OneOf(options)) => options.description.as_mut(),
        RefOr::T(Schema::AllOf(parts)) => parts.description.as_mut(),
        RefOr::T(Schema::AnyOf(options)) => options.description.as_mut(),
        RefOr::T(_) => None,
    }
}
