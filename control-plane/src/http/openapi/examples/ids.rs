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

/// The example of each schema that is an id.
pub const OF_SCHEMAS: [(&str, &str); 7] = [
    ("ApiKeyId", API_KEY),
    ("MembershipId", MEMBERSHIP),
    ("OrganizationDomainId", DOMAIN),
    ("OrganizationId", ORGANIZATION),
    ("PermissionId", PERMISSION),
    ("RoleId", ROLE),
    ("UserId", USER),
];
