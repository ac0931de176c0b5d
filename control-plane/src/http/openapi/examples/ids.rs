//! The ids that examples use. They are those of the README where it has one.

pub const ORGANIZATION: &str = "org_01M8G1CWTHV86XWJHQG7BRV9X9";
pub const ORGANIZATION_EXTERNAL_ID: &str = "customer-4711";
pub const DOMAIN: &str = "org_domain_01M8G1CWTHXYF8N70P5W1VW7X4";
pub const USER: &str = "user_01M8G1CWWDEDVEREG8M84ETPBT";
pub const USER_EXTERNAL_ID: &str = "user-42";
pub const MEMBERSHIP: &str = "om_01M8G1CWXB4HM0ARM0ADV1DB0D";
pub const PERMISSION: &str = "perm_01M8G1B27HWXZASXG323MJ8GYE";
pub const OTHER_PERMISSION: &str = "perm_01M8G1A4Y1GX4F969BYYZXB5JY";
pub const MEMBER_ROLE: &str = "role_01M8G1A4Y1762XWCGW0PH3T7XY";
pub const ROLE: &str = "role_01M8G1BZH1C5K5E92GR1G7YBMW";
pub const ORGANIZATION_ROLE: &str = "role_01M8G1CWVS15ZYN7WSS1QVMAMN";
pub const MANAGEMENT_KEY: &str = "management_key_01M8G1A4Y16Q77GT22565066M7";
pub const API_KEY: &str = "api_key_01M8G1CWXY34YPARS2298SEY4A";
pub const ROTATED_API_KEY: &str = "api_key_01M8JKSKTH3W4NC7HK1BSMGZDZ";
pub const USER_API_KEY: &str = "api_key_01M8G1GJ0H3XBMP9B21X7Q7044";

pub const EVENT: &str = "event_01M8G1A4Y1R9V8K3S6B7D2F4GH";
pub const DELIVERED_EVENT: &str = "event_01M8JKSKTHZ5Q8W2N4C6V7B9MX";
pub const WEBHOOK_ENDPOINT: &str = "we_01M8G1HJ0H2TQ6Y8R4E5W7Z9XC";
pub const WEBHOOK_DELIVERY: &str = "wd_01M8JKSKTHA1S2D3F4G5H6J7K8";
pub const WEBHOOK_REPLAY: &str = "wr_01M8JKTKTHW2E4R6T8Y0V2X4Z6";
pub const REPLAYED_DELIVERY: &str = "wd_01M8JKTKTHQ9W8E7R6T5Y4Z3XC";

/// The example of each schema that is an id.
pub const OF_SCHEMAS: [(&str, &str); 11] = [
    ("ApiKeyId", API_KEY),
    ("EventId", EVENT),
    ("MembershipId", MEMBERSHIP),
    ("OrganizationDomainId", DOMAIN),
    ("OrganizationId", ORGANIZATION),
    ("PermissionId", PERMISSION),
    ("RoleId", ROLE),
    ("UserId", USER),
    ("WebhookDeliveryId", WEBHOOK_DELIVERY),
    ("WebhookEndpointId", WEBHOOK_ENDPOINT),
    ("WebhookReplayId", WEBHOOK_REPLAY),
];
