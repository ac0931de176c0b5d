//! Descriptions that do not come from the documentation of a type or of a handler.

use utoipa::openapi::{
    Object, OpenApi, RefOr, Schema,
    path::{Operation, Parameter, ParameterBuilder},
};

use super::{
    examples::ids,
    walk::{self, operations},
};

/// Describes schemas and fields that have no documentation of their own: the schema, the field if it is one, and the
/// text.
const OF_SCHEMAS: [(&str, &str, &str); 10] = [
    ("DomainState", "", "Whether you have verified a domain. Latchkey does not verify domains."),
    ("OrganizationDomain", "", "A domain of an organization."),
    ("OrganizationDomain", "id", "The id of the domain."),
    ("OrganizationDomain", "organization_id", "The id of the organization."),
    ("OrganizationDomain", "domain", "The domain name, in lower case."),
    ("OrganizationDomain", "state", "Whether you have verified the domain."),
    ("OrganizationDomain", "created_at", "When the domain was added."),
    ("OrganizationDomain", "updated_at", "When the state of the domain was last changed."),
    ("Owner", "type", "The type of the owner."),
    ("RefusalCode", "", REFUSAL_CODES),
];

const REFUSAL_CODES: &str = "\
Why an API key is refused. If several reasons apply, the response has the first of them in this order.

- `malformed`: it is not a key of this environment: mistyped, truncated, or from another product
- `not_found`: it does not exist in this environment
- `revoked`: it was revoked
- `disabled`: it is disabled, or its user is not an active member of the organization
- `not_yet_valid`: it is not valid before its `not_before`
- `expired`: it has expired
- `ip_not_allowed`: it has an IP allow list, and `ip` is not on it or was not sent
- `insufficient_permissions`: it lacks a permission that `permissions` requires";

/// Adds all of these descriptions, and puts each on a line of its own and where it is looked for.
pub fn add(document: &mut OpenApi) {
    document.info.description = Some(include_str!("info.md").to_owned());
    for (path, operation) in operations(document) {
        describe_parameters(path, operation);
        describe_successes(operation);
    }
    describe_schemas(document);
    walk::visit_all(document, &mut describe_nullable_fields);
    unwrap_all(document);
}

/// The description and an example of a parameter that stands for an id, a slug or an external id.
fn parameter(operation_id: &str, path: &str, name: &str) -> Option<(&'static str, &'static str)> {
    let is_below = |prefix: &str| path.starts_with(prefix);
    let described = match name {
        "organization_id" if path == "/events" => return None,
        "organization_id" => ("The id of the organization.", ids::ORGANIZATION),
        "user_id" => ("The id of the user.", ids::USER),
        "external_id" if is_below("/organizations/") => {
            ("Your own id for the organization, as its `external_id`.", ids::ORGANIZATION_EXTERNAL_ID)
        }
        "external_id" => ("Your own id for the user, as the user's `external_id`.", ids::USER_EXTERNAL_ID),
        "permission_slug" => ("The slug of the permission.", "posts:write"),
        "slug" if is_below("/authorization/permissions/") => ("The slug of the permission.", "posts:read"),
        "slug" if is_below("/authorization/roles/") => ("The slug of the role.", "editor"),
        "slug" => ("The slug of the role.", "org-reviewer"),
        "id" if operation_id == "expireApiKey" => ("The id of the API key.", ids::USER_API_KEY),
        "id" if is_below("/api_keys/") => ("The id of the API key.", ids::API_KEY),
        "id" if is_below("/webhook_endpoints/") => ("The id of the webhook endpoint.", ids::WEBHOOK_ENDPOINT),
        "id" if is_below("/webhook_deliveries/") => ("The id of the delivery.", ids::WEBHOOK_DELIVERY),
        "id" if is_below("/organizations/") => ("The id of the organization.", ids::ORGANIZATION),
        "id" if is_below("/user_management/users/") => ("The id of the user.", ids::USER),
        "id" => ("The id of the membership.", ids::MEMBERSHIP),
        _ => return None,
    };
    Some(described)
}

fn describe_parameters(path: &str, operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    for described in operation.parameters.iter_mut().flatten() {
        let RefOr::T(found) = described else { continue };
        let Some((description, example)) = parameter(&id, path, &found.name) else { continue };
        let found: Parameter = found.clone();
        let description = found.description.clone().unwrap_or_else(|| description.to_owned());
        let builder = ParameterBuilder::from(found).description(Some(description)).example(Some(example.into()));
        *described = builder.build().into();
    }
}

/// OpenAPI requires a description of each response. That of a success says what its body is.
fn describe_successes(operation: &mut Operation) {
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else { continue };
        if !response.description.is_empty() {
            continue;
        }
        let schema = response.content.values().find_map(|content| match content {
            RefOr::T(content) => content.schema.as_ref(),
            RefOr::Ref(_) => None,
        });
        let name = match schema {
            Some(RefOr::Ref(reference)) => reference.ref_location.rsplit('/').next().unwrap_or_default(),
            _ => "",
        };
        success(name).clone_into(&mut response.description);
    }
}

/// What a successful response with a body of this schema contains.
fn success(schema: &str) -> &'static str {
    match schema {
        "ApiKeyAtEdge" => "The API key, and its versions at the edge.",
        "ApiKeyExpiryPolicy" => "The expiry policy.",
        "ApiKeyPermissions" => "The permissions that are offered.",
        "ApiKeyUsage" | "Usage" => "The counts, by interval and outcome.",
        "CreatedApiKey" => "The new API key, with its value.",
        "EventList" => "A page of events.",
        "Health" => "The server is healthy.",
        "ManagedApiKey" => "The API key.",
        "Membership" => "The membership.",
        "Organization" => "The organization.",
        "Permission" => "The permission.",
        "Role" => "The role.",
        "RoleList" => "The roles.",
        "User" => "The user.",
        "ValidationAnswer" => "The API key, or the reason why it is refused.",
        "WebhookDelivery" => "The new delivery.",
        "WebhookDeliveryDetails" => "The delivery, and its attempts.",
        "WebhookEndpoint" => "The webhook endpoint.",
        "WebhookReplay" => "The replay.",
        "List_WebhookDelivery" => "A page of deliveries.",
        "List_WebhookEndpoint" => "A page of webhook endpoints.",
        "List_ManagedApiKey" => "A page of API keys.",
        "List_Membership" => "A page of memberships.",
        "List_Organization" => "A page of organizations.",
        "List_Permission" => "A page of permissions.",
        "List_User" => "A page of users.",
        _ => "Success.",
    }
}

fn describe_schemas(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for (name, field, text) in OF_SCHEMAS {
        let Some(schema) = components.schemas.get_mut(name) else { continue };
        if field.is_empty() {
            set_description(schema, text);
            continue;
        }
        walk::visit(schema, &mut |schema| {
            if let RefOr::T(Schema::Object(object)) = schema
                && let Some(property) = object.properties.get_mut(field)
            {
                set_description(property, text);
            }
        });
    }
    for (name, example) in ids::OF_SCHEMAS {
        if let Some(RefOr::T(Schema::Object(Object { examples, .. }))) = components.schemas.get_mut(name) {
            *examples = vec![example.into()];
        }
    }
}

fn set_description(schema: &mut RefOr<Schema>, text: &str) {
    match schema {
        RefOr::Ref(reference) => text.clone_into(&mut reference.description),
        RefOr::T(Schema::Object(object)) => object.description = Some(text.to_owned()),
        RefOr::T(Schema::OneOf(options)) => options.description = Some(text.to_owned()),
        RefOr::T(_) => {}
    }
}

/// The description of a field that can be null and otherwise refers to another schema stands at that reference, where
/// few tools show it. It belongs to the field.
fn describe_nullable_fields(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::OneOf(options)) = schema else { return };
    if options.description.is_some() {
        return;
    }
    for option in &mut options.items {
        if let RefOr::Ref(reference) = option
            && !reference.description.is_empty()
        {
            options.description = Some(std::mem::take(&mut reference.description));
        }
    }
}

/// The lines of the documentation in the code end where they do only to fit there.
fn unwrap_all(document: &mut OpenApi) {
    let unwrap_in = |text: &mut Option<String>| {
        if let Some(text) = text {
            *text = unwrap_lines(text);
        }
    };
    unwrap_in(&mut document.info.description);
    for (_, operation) in operations(document) {
        unwrap_in(&mut operation.description);
        for parameter in operation.parameters.iter_mut().flatten() {
            let RefOr::T(parameter) = parameter else { continue };
            unwrap_in(&mut parameter.description);
        }
    }
    walk::visit_all(document, &mut |schema| {
        if let Some(text) = walk::description(schema) {
            *text = unwrap_lines(text);
        }
    });
}

/// Joins the lines of each paragraph. An item of a list and a heading begin a new one.
fn unwrap_lines(text: &str) -> String {
    let mut unwrapped = String::new();
    for line in text.trim_end().lines() {
        let begins = line.is_empty() || line.starts_with("- ") || unwrapped.is_empty() || unwrapped.ends_with('\n');
        unwrapped.push_str(if unwrapped.is_empty() {
            ""
        } else if begins {
            "\n"
        } else {
            " "
        });
        unwrapped.push_str(if begins { line } else { line.trim_start() });
    }
    unwrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_paragraph_are_joined() {
        let text = "A paragraph\nof two lines.\n\n## Heading\n\nA list:\n\n- one\n- two\n  lines\n";
        let unwrapped = "A paragraph of two lines.\n\n## Heading\n\nA list:\n\n- one\n- two lines";
        assert_eq!(unwrap_lines(text), unwrapped);
    }
}
