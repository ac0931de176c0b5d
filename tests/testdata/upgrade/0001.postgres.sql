CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
CREATE TABLE public.api_keys (
    id text NOT NULL COLLATE pg_catalog."C",
    environment_id text NOT NULL COLLATE pg_catalog."C",
    organization_id text NOT NULL COLLATE pg_catalog."C",
    user_id text COLLATE pg_catalog."C",
    name text NOT NULL,
    digest bytea NOT NULL,
    obfuscated_value text NOT NULL,
    permissions text NOT NULL,
    resources text DEFAULT '[]'::text NOT NULL,
    ip_allow_list text DEFAULT '[]'::text NOT NULL,
    metadata text DEFAULT '{}'::text NOT NULL,
    expires_at bigint,
    not_before bigint,
    disabled boolean DEFAULT false NOT NULL,
    version bigint NOT NULL,
    created_by text NOT NULL,
    rotated_from text,
    rotated_to text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    changed_at bigint,
    acknowledged boolean DEFAULT true NOT NULL,
    sealed_at bigint,
    revoked_at bigint,
    revoked_reason text
);
CREATE TABLE public.edge_sync (
    namespace text NOT NULL,
    kind text NOT NULL,
    cursor text NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.environment_usage (
    environment_id text NOT NULL COLLATE pg_catalog."C",
    hour bigint NOT NULL,
    outcome text NOT NULL,
    count bigint NOT NULL
);
CREATE TABLE public.environments (
    id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    key_prefix text NOT NULL,
    prefixes text NOT NULL,
    accepts_foreign boolean DEFAULT false NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    organization_key_permissions text,
    user_key_permissions text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.feed_position (
    only_row integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT feed_position_only_row_check CHECK ((only_row = 1))
);
CREATE TABLE public.idempotent_answers (
    place bytea NOT NULL,
    fingerprint bytea NOT NULL,
    answer bytea,
    created_at bigint NOT NULL
);
CREATE TABLE public.last_uses (
    key_id text NOT NULL COLLATE pg_catalog."C",
    used_at bigint NOT NULL
);
CREATE TABLE public.management_keys (
    id text NOT NULL COLLATE pg_catalog."C",
    environment_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    digest bytea NOT NULL,
    obfuscated_value text NOT NULL,
    scopes text NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    changed_at bigint,
    acknowledged boolean DEFAULT true NOT NULL,
    sealed_at bigint,
    revoked_at bigint,
    revoked_reason text
);
CREATE TABLE public.memberships (
    id text NOT NULL COLLATE pg_catalog."C",
    environment_id text NOT NULL COLLATE pg_catalog."C",
    organization_id text NOT NULL COLLATE pg_catalog."C",
    user_id text NOT NULL COLLATE pg_catalog."C",
    role_id text NOT NULL COLLATE pg_catalog."C",
    inactive boolean DEFAULT false NOT NULL,
    generation bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.organization_domains (
    environment_id text NOT NULL COLLATE pg_catalog."C",
    domain text NOT NULL,
    organization_id text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.organizations (
    id text NOT NULL COLLATE pg_catalog."C",
    environment_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    external_id text COLLATE pg_catalog."C",
    metadata text NOT NULL,
    domains text NOT NULL,
    allow_profiles_outside_organization boolean DEFAULT false NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    max_lifetime_seconds bigint,
    default_lifetime_seconds bigint,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    deleted_at bigint
);
CREATE TABLE public.outbox (
    key_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    version bigint NOT NULL,
    queued_at bigint NOT NULL,
    next_attempt_at bigint NOT NULL,
    through_feed boolean DEFAULT false NOT NULL,
    fed_version bigint,
    claim bigint,
    claimed_version bigint,
    claimed_until bigint,
    unsettled_until bigint
);
CREATE TABLE public.permissions (
    id text NOT NULL COLLATE pg_catalog."C",
    environment_id text NOT NULL COLLATE pg_catalog."C",
    slug text NOT NULL,
    name text NOT NULL,
    description text,
    resource_type_slug text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.roles (
    id text NOT NULL COLLATE pg_catalog."C",
    environment_id text NOT NULL COLLATE pg_catalog."C",
    organization_id text COLLATE pg_catalog."C",
    slug text NOT NULL,
    name text NOT NULL,
    description text,
    resource_type_slug text NOT NULL,
    permissions text NOT NULL,
    generation bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.scope_changes (
    name text NOT NULL COLLATE pg_catalog."C",
    environment_id text NOT NULL COLLATE pg_catalog."C",
    generation bigint NOT NULL,
    effect text NOT NULL,
    changed_at bigint NOT NULL,
    fed boolean DEFAULT false NOT NULL,
    acknowledged boolean DEFAULT false NOT NULL
);
CREATE TABLE public.usage (
    key_id text NOT NULL COLLATE pg_catalog."C",
    hour bigint NOT NULL,
    outcome text NOT NULL,
    count bigint NOT NULL
);
CREATE TABLE public.usage_senders (
    sender text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    seen_at bigint NOT NULL
);
CREATE TABLE public.users (
    id text NOT NULL COLLATE pg_catalog."C",
    environment_id text NOT NULL COLLATE pg_catalog."C",
    external_id text COLLATE pg_catalog."C",
    email text NOT NULL,
    email_key text COLLATE pg_catalog."C",
    email_verified boolean DEFAULT false NOT NULL,
    first_name text,
    last_name text,
    name text,
    locale text,
    metadata text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
INSERT INTO public._sqlx_migrations VALUES (1, 'initial', '2026-11-27 13:52:05.199333+00', true, '\x85efe973482fc178c7eacec22633926e7a403c9b803f6d0ff412d81bf63c40ba9ef83e77a6513e7ca279d32ed803399e', 35921223);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3DYDRXV324BBJ68YTQ9', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'Production', '\x6ba5fcc775cf4b8b76f95106ff5f233bbbca29c279c56c91d05e5e0be4062790', 'lk_live_…uWHs', '["posts:read","posts:write"]', '[]', '[]', '{"owner":"Zoë"}', NULL, NULL, false, 1795787525566, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525566, 1795787525566, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3E9YSB1WYZK405TW2HR', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'limited', '\x0a3438855caca72cb627c90a3dc58eb26334173965c6ca8c52296f91a30bca7b', 'lk_live_…konh', '["posts:read"]', '[]', '["203.0.113.0/24","2001:db8::/32"]', '{}', NULL, NULL, false, 1795787525577, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525577, 1795787525577, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3EGX1AWCED18XF3N6M9', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'revoked', '\xe5a81e081a434d25ca0d5c027e129c76eb0d8c3897d6f4cf2e164b734eea53d7', 'lk_live_…KsLZ', '["posts:read"]', '[]', '[]', '{}', NULL, NULL, false, 1795787525592, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525584, 1795787525592, 1795787525592, true, NULL, 1795787525592, 'leaked');
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3JEHKP0VTSXS04V9E0D', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BQ8C7GT17CSCT2XHDR', 'user_01M8EME3CH429HH13AVM3800BM', 'mine', '\x06ee28f5e475d7ee860bdb87d1434026ead8883833620fc1f685047383e975f4', 'lk_live_…pJF5', '["posts:read"]', '[]', '[]', '{}', 2426507525710, NULL, false, 1795787525717, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525710, 1795787525710, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3EWTGKG4GWAP63A8WY6', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'expired', '\x85ec3cb60ea7bf9a4205b9943cedfed8533c36e254d27d75a9349515c58aeecf', 'lk_live_…7qRu', '["posts:read"]', '[]', '[]', '{}', 1795787525606, NULL, false, 1795787525606, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525596, 1795787525606, 1795787525609, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3FDK3XV4NF0J45D5BP8', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'disabled', '\x5dcb94a9b0128f22783ebc9258e601169fdd0c29ca99b1b59c2ed377d9632775', 'lk_live_…HRQE', '["posts:read"]', '[]', '[]', '{}', NULL, NULL, true, 1795787525628, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525613, 1795787525628, 1795787525630, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3G3WJ0258JX57B3M6HQ', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'later', '\xa7b0de71e7a1cf6739cb6c4a83de0d4c3c9e652d68d9daba47f1389f366d0e45', 'lk_live_…tGKk', '["posts:read"]', '[]', '[]', '{}', NULL, 32472144000000, false, 1795787525635, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525635, 1795787525635, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3GKZB2G748MBCARESSF', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'rotated', '\x3524bc65dbd4b9b9028f45909adbd3fba11b8676fec4e6a45cea85a899156fdb', 'lk_live_…hUCg', '["posts:read"]', '[]', '[]', '{}', NULL, NULL, false, 1795787525651, 'management_key_01M8EME352NAG5XAEQE5483NWN', 'api_key_01M8EME3GBXG4PWCAE5KCGEC7Q', NULL, 1795787525651, 1795787525651, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3JT9HXN041WD10R6A0M', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BW5630DBEJG11S7ZN7', NULL, 'of a deleted organization', '\xe825b0dec0b3a728955b7d1cdf4ebda985755054e17be5770e13bf3dbda71457', 'lk_live_…8u7q', '["posts:read"]', '[]', '[]', '{}', NULL, NULL, false, 1795787525730, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525722, 1795787525730, NULL, true, NULL, 1795787525730, 'organization_deleted');
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3KBRTMNA2HZYTEC3SXM', 'environment_01M8EME34BM1Y54D50S38A6D95', 'org_01M8EME3K8CSJDXCCAGPP2SSNM', NULL, 'staging', '\x8e7af37aade6a0a1192c001b1a0a90b631b40d676c7630b06534cfbb0345ef2f', 'lk_live_…3Es6', '[]', '[]', '[]', '{}', NULL, NULL, false, 1795787525739, 'management_key_01M8EME37CMG7CWKRTXPK6MN6F', NULL, NULL, 1795787525739, 1795787525739, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3GBXG4PWCAE5KCGEC7Q', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'rotated', '\xa661ed8bd386f12d7c88e60b68b90d400e793c1929ee66b5fdfdf00fbb5de5f4', 'lk_live_…t6KE', '["posts:read"]', '[]', '[]', '{}', 1795787525665, NULL, false, 1795787525665, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, 'api_key_01M8EME3GKZB2G748MBCARESSF', 1795787525643, 1795787525665, 1795787525666, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3H77BPHPJ4HAF0PM29R', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BQ8C7GT17CSCT2XHDR', NULL, 'policy', '\x9a56b5bdcb09d9816c5381d758ca40183b61ec092997b3fa41bf527409730db3', 'lk_live_…Pe5y', '["posts:read"]', '[]', '[]', '{}', 2426507525671, NULL, false, 1795787525671, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525671, 1795787525671, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3HQ6K1A6VC6K3YPHNGX', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', 'user_01M8EME3CN3V7ZW3SP00MTGJRQ', 'mine', '\x419ee7f1e7c03f1f48c24b624ffa8742627a4e165b4d75ee6308f0388de56fc7', 'lk_live_…lQPA', '["posts:write"]', '[]', '[]', '{}', NULL, NULL, false, 1795787525687, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525687, 1795787525687, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3J0DQ7D3H91SFYGW1B5', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', 'user_01M8EME3CRW628KF51JSNZM5EP', 'mine', '\x9a78a39f47227008172c5c91d3d27d6242d3916ad929b1fb058512ed6f017332', 'lk_live_…oByt', '["posts:read"]', '[]', '[]', '{}', NULL, NULL, false, 1795787525704, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525696, 1795787525704, NULL, true, NULL, 1795787525704, 'membership_deleted');
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3KHK25GG94F9Y9CY1V3', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'idempotent', '\x18abb2aab0364b5361908311716b012a6193d4d5254b5b494beaa28251d1b964', 'lk_live_…tYEZ', '["posts:read"]', '[]', '[]', '{}', NULL, NULL, false, 1795787525745, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525745, 1795787525745, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME411QF00HR3VNGCYJMG5', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'not published', '\xf58db61ea3e0a7132b0df1884183bf6a1bbb794b976ad9f2bcf7a8ab0f94c1c8', 'lk_live_…xfXL', '["posts:read"]', '[]', '[]', '{}', NULL, NULL, false, 1795787526177, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787526177, 1795787526177, NULL, true, NULL, NULL, NULL);
INSERT INTO public.api_keys VALUES ('api_key_01M8EME50MXBWBGN821EVTDBMS', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', NULL, 'revoked while the edge was away', '\x520f6a281e2481bbed34184731f0d5f5bb6c27c73f8030b03c718bd6114372be', 'lk_live_…Q3nZ', '["posts:read"]', '[]', '[]', '{}', NULL, NULL, false, 1795787528197, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787527188, 1795787528197, 1795787528198, false, NULL, 1795787528197, 'deleted');
INSERT INTO public.api_keys VALUES ('api_key_01M8EME3HDAWMGJJN92JF16X1E', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', 'user_01M8EME3CH429HH13AVM3800BM', 'mine', '\xcc3f0c39c9137a244e2b2d198da8413752983bb2722efa8137c81022facec242', 'lk_live_…8GqP', '["posts:read","posts:write"]', '[]', '[]', '{}', NULL, NULL, false, 1795787538221, 'management_key_01M8EME352NAG5XAEQE5483NWN', NULL, NULL, 1795787525677, 1795787525677, NULL, true, NULL, NULL, NULL);
INSERT INTO public.edge_sync VALUES ('keys', 'management_key', 'management_key_01M8EME37CMG7CWKRTXPK6MN6F', 1795787543370);
INSERT INTO public.environment_usage VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 498829, 'disabled', 6);
INSERT INTO public.environment_usage VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 498829, 'expired', 6);
INSERT INTO public.environment_usage VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 498829, 'ip_not_allowed', 3);
INSERT INTO public.environment_usage VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 498829, 'not_found', 1);
INSERT INTO public.environment_usage VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 498829, 'not_yet_valid', 3);
INSERT INTO public.environment_usage VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 498829, 'revoked', 10);
INSERT INTO public.environment_usage VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 498829, 'valid', 21);
INSERT INTO public.environments VALUES ('environment_01M8EME34BM1Y54D50S38A6D95', 'Staging', 'lk_live', '["lk_live"]', false, 0, NULL, NULL, 1795787525259, 1795787525259);
INSERT INTO public.environments VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'Production', 'lk_live', '["lk_live"]', false, 1795787533206, '["posts:read","posts:write"]', '["posts:read","posts:write"]', 1795787525236, 1795787525486);
INSERT INTO public.feed_position VALUES (1, 3, 41);
INSERT INTO public.idempotent_answers VALUES ('\x644cdb6d2b70cf3b1631fc72e1aaf53a0cd07d53d1b7bacb51cb39978d2b5307', '\x1b173890143b6263f6763287121c57ae69763a7e02780b6efa263a0f97885c8a', '\xb4f14952375ff20560160deeda11767548c4a37a4960ef38e579db92537797c6f0b954cd7819a670ee4ec31558d141146fa74f242063de256c387cb529c60200628610e21b66afef44bdaac690212699600a7a2687bff9c664eda5fe418d8f0bebeaa5d5652816744be08ff79f57a5254dd975939c1b8ae91a4710f59c978e8f054f586a097d3d46e7703ba863a33f3ca04e6c5a52de2ced6307079bedf77cf15fe1db6c5187e7d22d99b009299a4cf60fd52b3857e1260784d56e015b3ce7681a2aa07b51401e45354d9ee7508938838e554568f13a373351ed3c165b06bfde25b7c1e592012663fa3cb9bc30f1199f4a96f7ed973453a3b579f9e9e1274abb185c8783c45a829766b755251f0aab473bffdfaebf2063cdf46b85586bfd5b551e9b2531d0cac886de36a75715d8967befcbc26ad0c27a1aead20d3da870437912f31ce13a0698ddbe339df240ee4790496c9b88f1722965110d69d01b5a09749634df0be084613b00f22d4e0c2b337bcd89334c1121c97f22feb619d1e468c1f1ccf0ec0b3f9596cfa80e5d9c64537559d10d59130466169823cc037f7620776ecd1df35876a8ceccf84f5bf429c60b048904de2401ff26ced504de2095569655f99b5ec3ca52d823c344574fb795d819a1bb5b181710e933beb82f96bd6116f0740e7b07336e007ab2df075fb95c42d795c5905b0209dd4a77916e5cfc4e57cf1da31d3d10245f2758213d8e726f367c267b1e2a1e64f31bbb8c515b', 1795787525651);
INSERT INTO public.idempotent_answers VALUES ('\x9763975ca5f318c49f3063e075c0bd4fa3cc87e40d485068f883087e076d0670', '\xd7ec267c57c3fb3be2a4c5368fef95cc302dcae4877d992cf2f2511f0f35ff85', '\x334d32806ca5b34d3a2619a0c4f40edbf6ef9e3fc98d970143deed37204484e4c71b41675a27928d8cb5f72a3ecc75d128d02d29b11d558400a8bf21f2e6ac23a929361aa4748727862aefc2b86b405019f08c42e6bd863b30ad2d11c17f62c4c811dc89c328eea7e1ee3ae1bdbbdd7278e373a9eff3dec0de89fdee9ca5146e03d017178cda15a63c6147735fe3709935a8dfbe66c7a7e0ed1f7f1976f40d31cfd528e567a61546f7d84f49bc07eebcded673e1c961b049b2d3af89fe32674acfdb2db7885f790a445d81bd6e9bc12ae75cf2227617d7c43f691020a14bc56b35520d11b61ab580744f95dedb3c0716e031ccc0964db111981c0d362f43270c6f82eff0f202c5ce9695d7f97017239083b67f0e12e3c37d138674ffd3a1c1a0d2d9a255ab263629fe58b9d07e84c3d16c460cf89d27bcbbd226c53bf35eed4e429da3b34ac4402149e4bcbf9e227ff757430aa11d3155588bca15f1a15cf2aaa88575a3a40f57fd16aabb29f3c5d434aa6d0c7eab885dcacbe3c899e59e4a9d3c88be2113413d592f9de35ef34da6d7b101ebc574b67d4259aea1f764be988c8f5aaebe6eb19e22bb620539a534c8c090138d4bef55a79c4b04f849836de8eb8dac80f31271e8ac156a87a2d9e5000f4ebf98b178cc7f1372697686ff6a2a6a1a264fea6db36453124ee230', 1795787525745);
INSERT INTO public.last_uses VALUES ('api_key_01M8EME3GKZB2G748MBCARESSF', 1795787525825);
INSERT INTO public.last_uses VALUES ('api_key_01M8EME3H77BPHPJ4HAF0PM29R', 1795787525834);
INSERT INTO public.last_uses VALUES ('api_key_01M8EME3HQ6K1A6VC6K3YPHNGX', 1795787525848);
INSERT INTO public.last_uses VALUES ('api_key_01M8EME3KHK25GG94F9Y9CY1V3', 1795787525875);
INSERT INTO public.last_uses VALUES ('api_key_01M8EME3DYDRXV324BBJ68YTQ9', 1795787543243);
INSERT INTO public.last_uses VALUES ('api_key_01M8EME3HDAWMGJJN92JF16X1E', 1795787543246);
INSERT INTO public.last_uses VALUES ('api_key_01M8EME411QF00HR3VNGCYJMG5', 1795787543236);
INSERT INTO public.management_keys VALUES ('management_key_01M8EME352NAG5XAEQE5483NWN', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'Back end', '\xbb87b5c464fc1fd65634f966e145b51951156ce98ffdea9129f14da15bf0f519', 'mk_…5DGx', '["*"]', 1795787525282, 1795787525282, 1795787525282, NULL, true, NULL, NULL, NULL);
INSERT INTO public.management_keys VALUES ('management_key_01M8EME35Y6ARC5T6868HT7BJW', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'Validator', '\x1dc5e97c99575762b176394aea26193ddd61de021f2cea447ad1bf759f74772f', 'mk_…6RKA', '["api_keys:validate"]', 1795787525310, 1795787525310, 1795787525310, NULL, true, NULL, NULL, NULL);
INSERT INTO public.management_keys VALUES ('management_key_01M8EME37CMG7CWKRTXPK6MN6F', 'environment_01M8EME34BM1Y54D50S38A6D95', 'Back end of staging', '\xe78ea54e531f71773c17fbab55cccd032459a23af0d847dc69494b7d49bbe185', 'mk_…eT0v', '["*"]', 1795787525356, 1795787525356, 1795787525356, NULL, true, NULL, NULL, NULL);
INSERT INTO public.management_keys VALUES ('management_key_01M8EME36MX9H4WY7ACTCNK4AP', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'Leaver', '\x3dbc926bd9a53680240a3078d4ab1042ae592e5a790f34472c74e0483b5b9c7f', 'mk_…disF', '["*"]', 1795787525386, 1795787525332, 1795787525386, 1795787525388, true, NULL, 1795787525386, 'revoked_by_operator');
INSERT INTO public.memberships VALUES ('om_01M8EME3CWSSPCS447BSM2HRZ3', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', 'user_01M8EME3CH429HH13AVM3800BM', 'role_01M8EME3A819S5KSPC4924KKC8', false, 1795787525532, 1795787525532, 1795787525532);
INSERT INTO public.memberships VALUES ('om_01M8EME3D4M0Y9YV1YBZTXXTAY', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', 'user_01M8EME3CN3V7ZW3SP00MTGJRQ', 'role_01M8EME3C2CX0YBZFASXNEJ3BH', false, 1795787525540, 1795787525540, 1795787525540);
INSERT INTO public.memberships VALUES ('om_01M8EME3DN2H5NZXS6XGF2T3F4', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BQ8C7GT17CSCT2XHDR', 'user_01M8EME3CH429HH13AVM3800BM', 'role_01M8EME3AV7CEDKRZMS7C71TP5', true, 1795787525717, 1795787525557, 1795787525717);
INSERT INTO public.organization_domains VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'aerzte.example', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH');
INSERT INTO public.organization_domains VALUES ('environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'soehne.example', 'org_01M8EME3BQ8C7GT17CSCT2XHDR');
INSERT INTO public.organizations VALUES ('org_01M8EME3BHJ4W6SXZ99VSAY2DH', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'ÄRZTE GmbH', 'customer-1', '{"städte":"Köln","tier":"gold"}', '[{"object":"organization_domain","id":"org_domain_01M8EME3BHJQ0EQAHE0YW8114Y","organization_id":"org_01M8EME3BHJ4W6SXZ99VSAY2DH","domain":"aerzte.example","state":"verified","created_at":"2026-11-27T13:52:05.489Z","updated_at":"2026-11-27T13:52:05.489Z"}]', false, 0, NULL, NULL, 1795787525489, 1795787525489, NULL);
INSERT INTO public.organizations VALUES ('org_01M8EME3BQ8C7GT17CSCT2XHDR', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'Straße & Söhne', 'customer-2', '{}', '[{"object":"organization_domain","id":"org_domain_01M8EME3BQ52ATQWAW6QT9T4PF","organization_id":"org_01M8EME3BQ8C7GT17CSCT2XHDR","domain":"soehne.example","state":"pending","created_at":"2026-11-27T13:52:05.495Z","updated_at":"2026-11-27T13:52:05.495Z"}]', false, 0, 1576800000, 630720000, 1795787525495, 1795787525495, NULL);
INSERT INTO public.organizations VALUES ('org_01M8EME3BW5630DBEJG11S7ZN7', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'Bankrupt Ltd', 'customer-3', '{}', '[{"object":"organization_domain","id":"org_domain_01M8EME3BWKQ18TT88RZ4ZECRH","organization_id":"org_01M8EME3BW5630DBEJG11S7ZN7","domain":"bankrupt.example","state":"pending","created_at":"2026-11-27T13:52:05.500Z","updated_at":"2026-11-27T13:52:05.500Z"}]', false, 1795787525730, NULL, NULL, 1795787525500, 1795787525730, 1795787525730);
INSERT INTO public.organizations VALUES ('org_01M8EME3K8CSJDXCCAGPP2SSNM', 'environment_01M8EME34BM1Y54D50S38A6D95', 'Staging Inc', NULL, '{}', '[]', false, 0, NULL, NULL, 1795787525736, 1795787525736, NULL);
INSERT INTO public.outbox VALUES ('api_key_01M8EME411QF00HR3VNGCYJMG5', 'api_key', 1795787526177, 1795787526183, 1795787526183, true, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.outbox VALUES ('api_key_01M8EME50MXBWBGN821EVTDBMS', 'api_key', 1795787528197, 1795787527192, 1795787528199, true, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.outbox VALUES ('api_key_01M8EME3HDAWMGJJN92JF16X1E', 'api_key', 1795787538221, 1795787538221, 1795787546416, false, NULL, NULL, 1795787538221, NULL, NULL);
INSERT INTO public.outbox VALUES ('management_key_01M8EME352NAG5XAEQE5483NWN', 'management_key', 1795787525282, 1795787543370, 1795787546416, false, NULL, NULL, 1795787525282, NULL, NULL);
INSERT INTO public.outbox VALUES ('management_key_01M8EME35Y6ARC5T6868HT7BJW', 'management_key', 1795787525310, 1795787543370, 1795787546416, false, NULL, NULL, 1795787525310, NULL, NULL);
INSERT INTO public.outbox VALUES ('management_key_01M8EME36MX9H4WY7ACTCNK4AP', 'management_key', 1795787525386, 1795787543370, 1795787546416, false, NULL, NULL, 1795787525386, NULL, NULL);
INSERT INTO public.outbox VALUES ('management_key_01M8EME37CMG7CWKRTXPK6MN6F', 'management_key', 1795787525356, 1795787543370, 1795787546416, false, NULL, NULL, 1795787525356, NULL, NULL);
INSERT INTO public.permissions VALUES ('perm_01M8EME39RVTB8VJ95B8BDD45J', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'posts:read', 'posts:read', 'May posts:read', 'organization', 1795787525432, 1795787525432);
INSERT INTO public.permissions VALUES ('perm_01M8EME3A0Z9DSS3C7XJKEXGY7', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'posts:write', 'posts:write', 'May posts:write', 'organization', 1795787525440, 1795787525440);
INSERT INTO public.roles VALUES ('role_01M8EME33MWF1CEJA2E85HR9VQ', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', NULL, 'member', 'Member', 'What a user is unless something else is said.', 'organization', '[]', 1795787525236, 1795787525236, 1795787525236);
INSERT INTO public.roles VALUES ('role_01M8EME34BXA6TBEFP759DJ9KR', 'environment_01M8EME34BM1Y54D50S38A6D95', NULL, 'member', 'Member', 'What a user is unless something else is said.', 'organization', '[]', 1795787525259, 1795787525259, 1795787525259);
INSERT INTO public.roles VALUES ('role_01M8EME3AV7CEDKRZMS7C71TP5', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', NULL, 'reader', 'Reader', NULL, 'organization', '["posts:read"]', 1795787525474, 1795787525467, 1795787525474);
INSERT INTO public.roles VALUES ('role_01M8EME3C2CX0YBZFASXNEJ3BH', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'org_01M8EME3BHJ4W6SXZ99VSAY2DH', 'org-editor', 'Editor', NULL, 'organization', '["posts:write"]', 1795787525513, 1795787525506, 1795787525513);
INSERT INTO public.roles VALUES ('role_01M8EME3A819S5KSPC4924KKC8', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', NULL, 'author', 'Author', 'Writes', 'organization', '["posts:read"]', 1795787538221, 1795787525448, 1795787538221);
INSERT INTO public.scope_changes VALUES ('role:role_01M8EME3AV7CEDKRZMS7C71TP5', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 1795787525474, '{"allow_only":["posts:read"]}', 1795787525479, false, true);
INSERT INTO public.scope_changes VALUES ('role:role_01M8EME3C2CX0YBZFASXNEJ3BH', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 1795787525513, '{"allow_only":["posts:write"]}', 1795787525518, false, true);
INSERT INTO public.scope_changes VALUES ('membership:om_01M8EME3DDSME3XA14VQ6K909X', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 1795787525704, '"revoke"', 1795787525707, false, true);
INSERT INTO public.scope_changes VALUES ('membership:om_01M8EME3DN2H5NZXS6XGF2T3F4', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 1795787525717, '"disable"', 1795787525718, false, true);
INSERT INTO public.scope_changes VALUES ('organization:org_01M8EME3BW5630DBEJG11S7ZN7', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 1795787525730, '"revoke"', 1795787525733, false, true);
INSERT INTO public.scope_changes VALUES ('permission:environment_01M8EME33MNT4F1SZ7PGCQJN8T:admin', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 1795787533206, '"revoke"', 1795787533213, false, false);
INSERT INTO public.scope_changes VALUES ('role:role_01M8EME3A819S5KSPC4924KKC8', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 1795787538221, '{"allow_only":["posts:read"]}', 1795787538224, false, false);
INSERT INTO public.usage VALUES ('api_key_01M8EME3E9YSB1WYZK405TW2HR', 498829, 'ip_not_allowed', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3EGX1AWCED18XF3N6M9', 498829, 'revoked', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3EWTGKG4GWAP63A8WY6', 498829, 'expired', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3FDK3XV4NF0J45D5BP8', 498829, 'disabled', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3G3WJ0258JX57B3M6HQ', 498829, 'not_yet_valid', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3GBXG4PWCAE5KCGEC7Q', 498829, 'expired', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3GKZB2G748MBCARESSF', 498829, 'valid', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3H77BPHPJ4HAF0PM29R', 498829, 'valid', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3HQ6K1A6VC6K3YPHNGX', 498829, 'valid', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3J0DQ7D3H91SFYGW1B5', 498829, 'revoked', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3JEHKP0VTSXS04V9E0D', 498829, 'disabled', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3JT9HXN041WD10R6A0M', 498829, 'revoked', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3KHK25GG94F9Y9CY1V3', 498829, 'valid', 3);
INSERT INTO public.usage VALUES ('api_key_01M8EME3DYDRXV324BBJ68YTQ9', 498829, 'valid', 4);
INSERT INTO public.usage VALUES ('api_key_01M8EME3HDAWMGJJN92JF16X1E', 498829, 'valid', 4);
INSERT INTO public.usage VALUES ('api_key_01M8EME411QF00HR3VNGCYJMG5', 498829, 'valid', 1);
INSERT INTO public.usage VALUES ('api_key_01M8EME50MXBWBGN821EVTDBMS', 498829, 'revoked', 1);
INSERT INTO public.usage_senders VALUES ('aXSu24eHJVK7OkBJUahToA', 1, 1795787525878);
INSERT INTO public.usage_senders VALUES ('wXRBBTiJiFFTTkt_yNEt0A', 1, 1795787543248);
INSERT INTO public.users VALUES ('user_01M8EME3CH429HH13AVM3800BM', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'user-1', 'Ida.Öz@Example.com', 'ida.öz@example.com', false, 'Ida', 'Öz', NULL, NULL, '{"team":"a"}', 1795787525521, 1795787525521);
INSERT INTO public.users VALUES ('user_01M8EME3CN3V7ZW3SP00MTGJRQ', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', 'user-2', '', NULL, false, NULL, NULL, NULL, NULL, '{}', 1795787525525, 1795787525525);
INSERT INTO public.users VALUES ('user_01M8EME3CRW628KF51JSNZM5EP', 'environment_01M8EME33MNT4F1SZ7PGCQJN8T', NULL, 'ben@example.com', 'ben@example.com', true, NULL, NULL, NULL, NULL, '{}', 1795787525528, 1795787525528);
ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_environment_id_digest_key UNIQUE (environment_id, digest);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.edge_sync
    ADD CONSTRAINT edge_sync_pkey PRIMARY KEY (namespace, kind);
ALTER TABLE ONLY public.environment_usage
    ADD CONSTRAINT environment_usage_pkey PRIMARY KEY (environment_id, hour, outcome);
ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.feed_position
    ADD CONSTRAINT feed_position_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.idempotent_answers
    ADD CONSTRAINT idempotent_answers_pkey PRIMARY KEY (place);
ALTER TABLE ONLY public.last_uses
    ADD CONSTRAINT last_uses_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY public.management_keys
    ADD CONSTRAINT management_keys_digest_key UNIQUE (digest);
ALTER TABLE ONLY public.management_keys
    ADD CONSTRAINT management_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_organization_id_user_id_key UNIQUE (organization_id, user_id);
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.organization_domains
    ADD CONSTRAINT organization_domains_pkey PRIMARY KEY (environment_id, domain, organization_id);
ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY public.permissions
    ADD CONSTRAINT permissions_environment_id_slug_key UNIQUE (environment_id, slug);
ALTER TABLE ONLY public.permissions
    ADD CONSTRAINT permissions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.scope_changes
    ADD CONSTRAINT scope_changes_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (key_id, hour, outcome);
ALTER TABLE ONLY public.usage_senders
    ADD CONSTRAINT usage_senders_pkey PRIMARY KEY (sender);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
CREATE INDEX api_keys_changed ON public.api_keys USING btree (changed_at, id) WHERE (changed_at IS NOT NULL);
CREATE INDEX api_keys_ever_of_organization ON public.api_keys USING btree (environment_id, organization_id, id);
CREATE INDEX api_keys_of_organization ON public.api_keys USING btree (environment_id, organization_id, id) WHERE (revoked_at IS NULL);
CREATE INDEX api_keys_of_user ON public.api_keys USING btree (environment_id, user_id, id) WHERE (user_id IS NOT NULL);
CREATE INDEX api_keys_sealed ON public.api_keys USING btree (sealed_at, id) WHERE (revoked_at IS NULL);
CREATE INDEX environment_usage_by_hour ON public.environment_usage USING btree (hour);
CREATE INDEX idempotent_answers_by_created_at ON public.idempotent_answers USING btree (created_at);
CREATE INDEX management_keys_changed ON public.management_keys USING btree (changed_at, id) WHERE (changed_at IS NOT NULL);
CREATE INDEX management_keys_of_environment ON public.management_keys USING btree (environment_id, id);
CREATE INDEX management_keys_sealed ON public.management_keys USING btree (sealed_at, id) WHERE (revoked_at IS NULL);
CREATE INDEX memberships_of_organization ON public.memberships USING btree (organization_id, id);
CREATE INDEX memberships_of_role ON public.memberships USING btree (role_id);
CREATE INDEX memberships_of_user ON public.memberships USING btree (user_id, id);
CREATE INDEX organization_domains_of_organization ON public.organization_domains USING btree (organization_id);
CREATE UNIQUE INDEX organizations_by_external_id ON public.organizations USING btree (environment_id, external_id) WHERE (deleted_at IS NULL);
CREATE INDEX organizations_of_environment ON public.organizations USING btree (environment_id, id) WHERE (deleted_at IS NULL);
CREATE INDEX outbox_due ON public.outbox USING btree (next_attempt_at, key_id) WHERE ((NOT through_feed) OR (fed_version >= version));
CREATE INDEX outbox_of_claim ON public.outbox USING btree (claim, key_id) WHERE (claim IS NOT NULL);
CREATE INDEX outbox_queued ON public.outbox USING btree (queued_at);
CREATE INDEX outbox_unfed ON public.outbox USING btree (queued_at, key_id) WHERE (through_feed AND ((fed_version IS NULL) OR (fed_version < version)));
CREATE INDEX permissions_of_environment ON public.permissions USING btree (environment_id, id);
CREATE UNIQUE INDEX roles_of_environment ON public.roles USING btree (environment_id, slug) WHERE (organization_id IS NULL);
CREATE UNIQUE INDEX roles_of_organization ON public.roles USING btree (organization_id, slug);
CREATE INDEX scope_changes_in_order ON public.scope_changes USING btree (changed_at);
CREATE INDEX scope_changes_unfed ON public.scope_changes USING btree (changed_at, name) WHERE (NOT fed);
CREATE INDEX usage_by_hour ON public.usage USING btree (hour);
CREATE INDEX usage_senders_by_seen_at ON public.usage_senders USING btree (seen_at);
CREATE UNIQUE INDEX users_by_email ON public.users USING btree (environment_id, email_key);
CREATE UNIQUE INDEX users_by_external_id ON public.users USING btree (environment_id, external_id);
CREATE INDEX users_of_environment ON public.users USING btree (environment_id, id);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.management_keys
    ADD CONSTRAINT management_keys_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id);
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id);
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_role_id_fkey FOREIGN KEY (role_id) REFERENCES public.roles(id);
ALTER TABLE ONLY public.memberships
    ADD CONSTRAINT memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);
ALTER TABLE ONLY public.organization_domains
    ADD CONSTRAINT organization_domains_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id);
ALTER TABLE ONLY public.permissions
    ADD CONSTRAINT permissions_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id);
ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id);
ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
ALTER TABLE ONLY public.scope_changes
    ADD CONSTRAINT scope_changes_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(id);
