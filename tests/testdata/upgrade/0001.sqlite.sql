PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'initial','2026-11-27 13:51:44',1,X'0676ffc9203e2f7de8bf32bf178a5d4d42fcff6e56862e1e45c806e9fba836f01bcb6ccf2464ddc8ca35a415f6bde370',5790952);
CREATE TABLE environments (
    id              TEXT NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL,
    key_prefix      TEXT NOT NULL,
    -- JSON array: every prefix that its keys ever had.
    prefixes        TEXT NOT NULL,
    accepts_foreign BOOLEAN NOT NULL DEFAULT FALSE,
    generation      BIGINT NOT NULL DEFAULT 0,
    -- JSON arrays: the permissions that customers may put on their organizations' and on their users' keys. NULL: all.
    organization_key_permissions TEXT,
    user_key_permissions         TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
INSERT INTO environments VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','Production','lk_live','["lk_live"]',0,1795787511912,'["posts:read","posts:write"]','["posts:read","posts:write"]',1795787504194,1795787504338);
INSERT INTO environments VALUES('environment_01M8EMDEJBTE2S4FWFT1EBG0Y2','Staging','lk_live','["lk_live"]',0,0,NULL,NULL,1795787504203,1795787504203);
CREATE TABLE management_keys (
    id               TEXT NOT NULL PRIMARY KEY,
    environment_id   TEXT NOT NULL REFERENCES environments (id),
    name             TEXT NOT NULL,
    digest           BLOB NOT NULL UNIQUE,
    obfuscated_value TEXT NOT NULL,
    -- JSON array.
    scopes           TEXT NOT NULL,
    version          BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    -- When it was last changed in a way that the change feed has an entry for. NULL: never since its creation.
    changed_at       BIGINT,
    -- Whether somebody was told that the last such change has reached the edge.
    acknowledged     BOOLEAN NOT NULL DEFAULT TRUE,
    -- When the newest record that the edge's store holds was sealed. NULL: it holds none yet.
    sealed_at        BIGINT,
    revoked_at       BIGINT,
    revoked_reason   TEXT
);
INSERT INTO management_keys VALUES('management_key_01M8EMDEJQ1MY82VE3Y44WFYBH','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','Back end',X'8234a977298760643b1d0440bf33e347f0113742d4929e23a30cd4e4a53b78fd','mk_…8F49','["*"]',1795787504215,1795787504215,1795787504215,NULL,1,NULL,NULL,NULL);
INSERT INTO management_keys VALUES('management_key_01M8EMDEK1457TEY8NT15RH8HK','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','Validator',X'6e85f788f29ffbb8fd441050963f11804de3552bef32131654394824346a7161','mk_…VCua','["api_keys:validate"]',1795787504225,1795787504225,1795787504225,NULL,1,NULL,NULL,NULL);
INSERT INTO management_keys VALUES('management_key_01M8EMDEKBEFH2D0ZA71W3CGVK','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','Leaver',X'524401c46576c5662ca87939d1a908885c9bb73fbde346446b2296565d1d897c','mk_…lVCc','["*"]',1795787504271,1795787504235,1795787504271,1795787504272,1,NULL,1795787504271,'revoked_by_operator');
INSERT INTO management_keys VALUES('management_key_01M8EMDEKMYV76CN88YZFYFCJ1','environment_01M8EMDEJBTE2S4FWFT1EBG0Y2','Back end of staging',X'1260b902edffd250fd126dc27524d0ff33bf39b3b8b81ba0e18b7835f2ddac24','mk_…WW0O','["*"]',1795787504244,1795787504244,1795787504244,NULL,1,NULL,NULL,NULL);
CREATE TABLE organizations (
    id             TEXT NOT NULL PRIMARY KEY,
    environment_id TEXT NOT NULL REFERENCES environments (id),
    name           TEXT NOT NULL,
    external_id    TEXT,
    -- JSON object of strings.
    metadata       TEXT NOT NULL,
    -- JSON array of the domain objects, as answers show them.
    domains        TEXT NOT NULL,
    allow_profiles_outside_organization BOOLEAN NOT NULL DEFAULT FALSE,
    generation     BIGINT NOT NULL DEFAULT 0,
    -- How long its keys live at the most, and if nobody says otherwise. NULL: for ever.
    max_lifetime_seconds     BIGINT,
    default_lifetime_seconds BIGINT,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    -- The row outlives the organization, because its revoked keys do.
    deleted_at     BIGINT
);
INSERT INTO organizations VALUES('org_01M8EMDEPNTJ7JYE50NSQP7EPW','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','ÄRZTE GmbH','customer-1','{"städte":"Köln","tier":"gold"}','[{"object":"organization_domain","id":"org_domain_01M8EMDEPN75NNA4DACE80F3B9","organization_id":"org_01M8EMDEPNTJ7JYE50NSQP7EPW","domain":"aerzte.example","state":"verified","created_at":"2026-11-27T13:51:44.341Z","updated_at":"2026-11-27T13:51:44.341Z"}]',0,0,NULL,NULL,1795787504341,1795787504341,NULL);
INSERT INTO organizations VALUES('org_01M8EMDEPQQWVQZSFMKKP46FSF','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','Straße & Söhne','customer-2','{}','[{"object":"organization_domain","id":"org_domain_01M8EMDEPQAPW8W4Y8T65Z7GV7","organization_id":"org_01M8EMDEPQQWVQZSFMKKP46FSF","domain":"soehne.example","state":"pending","created_at":"2026-11-27T13:51:44.343Z","updated_at":"2026-11-27T13:51:44.343Z"}]',0,0,1576800000,630720000,1795787504343,1795787504343,NULL);
INSERT INTO organizations VALUES('org_01M8EMDEPVCD5JBWMCH4NF1BDG','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','Bankrupt Ltd','customer-3','{}','[{"object":"organization_domain","id":"org_domain_01M8EMDEPVWJWR0EPJYX7K3PP5","organization_id":"org_01M8EMDEPVCD5JBWMCH4NF1BDG","domain":"bankrupt.example","state":"pending","created_at":"2026-11-27T13:51:44.347Z","updated_at":"2026-11-27T13:51:44.347Z"}]',0,1795787504484,NULL,NULL,1795787504347,1795787504484,1795787504484);
INSERT INTO organizations VALUES('org_01M8EMDEVBG4WTVGSENX97WBS1','environment_01M8EMDEJBTE2S4FWFT1EBG0Y2','Staging Inc',NULL,'{}','[]',0,0,NULL,NULL,1795787504491,1795787504491,NULL);
CREATE TABLE organization_domains (
    environment_id  TEXT NOT NULL,
    domain          TEXT NOT NULL,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    PRIMARY KEY (environment_id, domain, organization_id)
);
INSERT INTO organization_domains VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','aerzte.example','org_01M8EMDEPNTJ7JYE50NSQP7EPW');
INSERT INTO organization_domains VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','soehne.example','org_01M8EMDEPQQWVQZSFMKKP46FSF');
CREATE TABLE permissions (
    id                 TEXT NOT NULL PRIMARY KEY,
    environment_id     TEXT NOT NULL REFERENCES environments (id),
    slug               TEXT NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT,
    resource_type_slug TEXT NOT NULL,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    UNIQUE (environment_id, slug)
);
INSERT INTO permissions VALUES('perm_01M8EMDENSZDHRV3VKS7XSQ6KR','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','posts:read','posts:read','May posts:read','organization',1795787504313,1795787504313);
INSERT INTO permissions VALUES('perm_01M8EMDEP06SX7TW992C7CYJCQ','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','posts:write','posts:write','May posts:write','organization',1795787504320,1795787504320);
CREATE TABLE users (
    id             TEXT NOT NULL PRIMARY KEY,
    environment_id TEXT NOT NULL REFERENCES environments (id),
    external_id    TEXT,
    -- Empty if the product did not say.
    email          TEXT NOT NULL,
    -- The same in lower case, for finding it; NULL if there is none.
    email_key      TEXT,
    email_verified BOOLEAN NOT NULL DEFAULT FALSE,
    first_name     TEXT,
    last_name      TEXT,
    name           TEXT,
    locale         TEXT,
    -- JSON object of strings.
    metadata       TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
INSERT INTO users VALUES('user_01M8EMDEQGCWVV7R1J6GFKRG4S','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','user-1','Ida.Öz@Example.com','ida.öz@example.com',0,'Ida','Öz',NULL,NULL,'{"team":"a"}',1795787504368,1795787504368);
INSERT INTO users VALUES('user_01M8EMDEQK4XPDDF3TC90AG590','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','user-2','',NULL,0,NULL,NULL,NULL,NULL,'{}',1795787504371,1795787504371);
INSERT INTO users VALUES('user_01M8EMDEQN05W1MWGKWVJSAVAK','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',NULL,'ben@example.com','ben@example.com',1,NULL,NULL,NULL,NULL,'{}',1795787504373,1795787504373);
CREATE TABLE roles (
    id                 TEXT NOT NULL PRIMARY KEY,
    environment_id     TEXT NOT NULL REFERENCES environments (id),
    -- NULL: every organization of the environment has it.
    organization_id    TEXT REFERENCES organizations (id),
    slug               TEXT NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT,
    resource_type_slug TEXT NOT NULL,
    -- JSON array of the slugs of permissions.
    permissions        TEXT NOT NULL,
    -- Goes up whenever its permissions change.
    generation         BIGINT NOT NULL,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL
);
INSERT INTO roles VALUES('role_01M8EMDEJ2V67MF67SFRC8MY13','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',NULL,'member','Member','What a user is unless something else is said.','organization','[]',1795787504194,1795787504194,1795787504194);
INSERT INTO roles VALUES('role_01M8EMDEJBY9XRB76KJKYWY7PY','environment_01M8EMDEJBTE2S4FWFT1EBG0Y2',NULL,'member','Member','What a user is unless something else is said.','organization','[]',1795787504203,1795787504203,1795787504203);
INSERT INTO roles VALUES('role_01M8EMDEP67FH44GPQ5Z0QVM2Z','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',NULL,'author','Author','Writes','organization','["posts:read"]',1795787516923,1795787504326,1795787516923);
INSERT INTO roles VALUES('role_01M8EMDEPDXZPHV8F9Z6HP51BH','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',NULL,'reader','Reader',NULL,'organization','["posts:read"]',1795787504335,1795787504333,1795787504335);
INSERT INTO roles VALUES('role_01M8EMDEQ390XQTYRC9ASDEYTY','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW','org-editor','Editor',NULL,'organization','["posts:write"]',1795787504360,1795787504355,1795787504360);
CREATE TABLE memberships (
    id              TEXT NOT NULL PRIMARY KEY,
    environment_id  TEXT NOT NULL REFERENCES environments (id),
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    user_id         TEXT NOT NULL REFERENCES users (id),
    role_id         TEXT NOT NULL REFERENCES roles (id),
    inactive        BOOLEAN NOT NULL DEFAULT FALSE,
    -- Goes up whenever its role or its state changes.
    generation      BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    UNIQUE (organization_id, user_id)
);
INSERT INTO memberships VALUES('om_01M8EMDEQQV3XP6PHT3JN0EWJG','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW','user_01M8EMDEQGCWVV7R1J6GFKRG4S','role_01M8EMDEP67FH44GPQ5Z0QVM2Z',0,1795787504375,1795787504375,1795787504375);
INSERT INTO memberships VALUES('om_01M8EMDEQVMBERB3WAGANWG3GN','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW','user_01M8EMDEQK4XPDDF3TC90AG590','role_01M8EMDEQ390XQTYRC9ASDEYTY',0,1795787504379,1795787504379,1795787504379);
INSERT INTO memberships VALUES('om_01M8EMDER0TZJYQH3GFFHMDCXB','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPQQWVQZSFMKKP46FSF','user_01M8EMDEQGCWVV7R1J6GFKRG4S','role_01M8EMDEPDXZPHV8F9Z6HP51BH',1,1795787504468,1795787504384,1795787504468);
CREATE TABLE api_keys (
    id               TEXT NOT NULL PRIMARY KEY,
    environment_id   TEXT NOT NULL REFERENCES environments (id),
    organization_id  TEXT NOT NULL REFERENCES organizations (id),
    user_id          TEXT,
    name             TEXT NOT NULL,
    -- SHA-256 of the key. The key itself is stored nowhere.
    digest           BLOB NOT NULL,
    obfuscated_value TEXT NOT NULL,
    -- JSON arrays, and a JSON object of strings.
    permissions      TEXT NOT NULL,
    resources        TEXT NOT NULL DEFAULT '[]',
    ip_allow_list    TEXT NOT NULL DEFAULT '[]',
    metadata         TEXT NOT NULL DEFAULT '{}',
    expires_at       BIGINT,
    not_before       BIGINT,
    disabled         BOOLEAN NOT NULL DEFAULT FALSE,
    -- Goes up with every change, and never back.
    version          BIGINT NOT NULL,
    created_by       TEXT NOT NULL,
    -- The key that it took the place of, and the one that took its place.
    rotated_from     TEXT,
    rotated_to       TEXT,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL,
    -- When it was last changed in a way that the change feed has an entry for. NULL: never since its creation.
    changed_at       BIGINT,
    -- Whether somebody was told that the last such change has reached the edge.
    acknowledged     BOOLEAN NOT NULL DEFAULT TRUE,
    -- When the newest record that the edge's store holds was sealed. NULL: it holds none yet.
    sealed_at        BIGINT,
    revoked_at       BIGINT,
    revoked_reason   TEXT,
    UNIQUE (environment_id, digest)
);
INSERT INTO api_keys VALUES('api_key_01M8EMDER3HABDAJEH69NP7ND6','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'Production',X'29689a09d190803acc5055fc9f599f749b61dc0a019ff2620114a94196a0379c','lk_live_…DxaY','["posts:read","posts:write"]','[]','[]','{"owner":"Zoë"}',NULL,NULL,0,1795787504387,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504387,1795787504387,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDERBJFMZ5ZKEBE859QR7','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'limited',X'862fa800050367353292e0a199067c54ea5c6edbafdb872e4460004b63ae3d14','lk_live_…Yig2','["posts:read"]','[]','["203.0.113.0/24","2001:db8::/32"]','{}',NULL,NULL,0,1795787504395,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504395,1795787504395,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDERFBC72K5RGH35GM4QP','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'revoked',X'9cbfee6e841a0f59c2631966058d41e560a2489727fb5e15e47a605310dfb836','lk_live_…7TWe','["posts:read"]','[]','[]','{}',NULL,NULL,0,1795787504403,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504399,1795787504403,1795787504403,1,NULL,1795787504403,'leaked');
INSERT INTO api_keys VALUES('api_key_01M8EMDERPB9PGAC7V5EERC0CB','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'expired',X'cc0c547446eebd239a7e5651eaae55e8f1db8f654b30b1154054ff05ca183387','lk_live_…ZWU1','["posts:read"]','[]','[]','{}',1795787504410,NULL,0,1795787504410,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504406,1795787504410,1795787504410,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDERXWYCW5FJM88G8Z3X3','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'disabled',X'f4ca2dde04300165ea3ab2fa131f18a7b678245ef331485b1abf374954c26b32','lk_live_…6rdC','["posts:read"]','[]','[]','{}',NULL,NULL,1,1795787504417,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504413,1795787504417,1795787504417,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDES4NPE27DGFPCZJ1JRJ','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'later',X'12ef650b52484d551e0cc345dd490b106234f608167f248e8099901f087217ff','lk_live_…2jKf','["posts:read"]','[]','[]','{}',NULL,32472144000000,0,1795787504420,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504420,1795787504420,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDES8DWBY273HP0A6PDZJ','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'rotated',X'1e66174f0360e70e7ebfdb3de26693a6b839d43d1a2fc8565682b156dc1f9a48','lk_live_…XAAm','["posts:read"]','[]','[]','{}',1795787504433,NULL,0,1795787504433,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,'api_key_01M8EMDESBAQ4FZX9K856T8CK7',1795787504424,1795787504433,1795787504433,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDESBAQ4FZX9K856T8CK7','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'rotated',X'a903828c8619b144bbaaaf5f477f9c87726cd9fadc6c0f5adba0bb4f91cd9ee8','lk_live_…6Zq9','["posts:read"]','[]','[]','{}',NULL,NULL,0,1795787504427,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH','api_key_01M8EMDES8DWBY273HP0A6PDZJ',NULL,1795787504427,1795787504427,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDESSXETC4P2AAG5D35J6','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPQQWVQZSFMKKP46FSF',NULL,'policy',X'e69ddf0b49800de970eccbab64cba083041873930d0b0cfae955409a31b986b4','lk_live_…Hxqz','["posts:read"]','[]','[]','{}',2426507504441,NULL,0,1795787504441,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504441,1795787504441,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDESWTDY34RX7N2MY31DX','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW','user_01M8EMDEQGCWVV7R1J6GFKRG4S','mine',X'9fa207123031b79108413884ebec0664e0356236f4a5d244e0911f5c2675de64','lk_live_…Vv5B','["posts:read","posts:write"]','[]','[]','{}',NULL,NULL,0,1795787516923,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504444,1795787504444,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDET05ZQANBRK3CSHVM8Z','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW','user_01M8EMDEQK4XPDDF3TC90AG590','mine',X'65f2647c6eaef25d550d082334bd0e4a5e359728ef8559abf50eb71ebde886fb','lk_live_…FgM3','["posts:write"]','[]','[]','{}',NULL,NULL,0,1795787504448,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504448,1795787504448,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDET4Q37XZPEHZKPF19AK','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW','user_01M8EMDEQN05W1MWGKWVJSAVAK','mine',X'c0f5ba03d22981caa8d658ed7122ef82431bd1d7849e8fc149c6ff0952b1dbaa','lk_live_…depW','["posts:read"]','[]','[]','{}',NULL,NULL,0,1795787504456,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504452,1795787504456,NULL,1,NULL,1795787504456,'membership_deleted');
INSERT INTO api_keys VALUES('api_key_01M8EMDETF5AAD54YQWGZ4DHDA','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPQQWVQZSFMKKP46FSF','user_01M8EMDEQGCWVV7R1J6GFKRG4S','mine',X'04fa2ed34c9f4be42b9d478ef7fee9401aecc3441ce825da840f004e4e6b925c','lk_live_…0zDx','["posts:read"]','[]','[]','{}',2426507504463,NULL,0,1795787504468,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504463,1795787504463,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDETRH3Y96F10JZMYJ1Y9','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPVCD5JBWMCH4NF1BDG',NULL,'of a deleted organization',X'd817e2044bc8eb11beba29d52a3c9c3c3523fd41cff02bf27c3d155d0c7f3571','lk_live_…bcL1','["posts:read"]','[]','[]','{}',NULL,NULL,0,1795787504484,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504472,1795787504484,NULL,1,NULL,1795787504484,'organization_deleted');
INSERT INTO api_keys VALUES('api_key_01M8EMDEVK6ERNYES1YJFHEV4W','environment_01M8EMDEJBTE2S4FWFT1EBG0Y2','org_01M8EMDEVBG4WTVGSENX97WBS1',NULL,'staging',X'aea5d0d972a1c1af7f6c34b0bc4ab310fc04114f5a3b2312a0dfda10845b7583','lk_live_…arte','[]','[]','[]','{}',NULL,NULL,0,1795787504499,'management_key_01M8EMDEKMYV76CN88YZFYFCJ1',NULL,NULL,1795787504499,1795787504499,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDEW1DPTR3W8RMR087D1A','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'idempotent',X'c5001a77e2981fc75563d7c321d1f7292ad52fd610eb1e91becb51e79374fd65','lk_live_…cp0T','["posts:read"]','[]','[]','{}',NULL,NULL,0,1795787504513,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504513,1795787504513,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDF7RMVCF98NQ5QGHF504','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'not published',X'a7fea8dfd5b1b99adc64c38b71c6c9c58a901dfec23335e881d88d6b85188e7f','lk_live_…UJVr','["posts:read"]','[]','[]','{}',NULL,NULL,0,1795787504888,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787504888,1795787504888,NULL,1,NULL,NULL,NULL);
INSERT INTO api_keys VALUES('api_key_01M8EMDG7AJJC9K8PVKFPK2R0T','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA','org_01M8EMDEPNTJ7JYE50NSQP7EPW',NULL,'revoked while the edge was away',X'5743c711d8fc36814045ef6813c664914f545c9c2f74f4c08f58fc5c1b289e12','lk_live_…y3O6','["posts:read"]','[]','[]','{}',NULL,NULL,0,1795787506906,'management_key_01M8EMDEJQ1MY82VE3Y44WFYBH',NULL,NULL,1795787505898,1795787506906,1795787506906,0,NULL,1795787506906,'deleted');
CREATE TABLE outbox (
    key_id          TEXT NOT NULL PRIMARY KEY,
    -- `api_key` or `management_key`.
    kind            TEXT NOT NULL,
    version         BIGINT NOT NULL,
    queued_at       BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    -- Whether the change must be in the change feed before it goes to the store, and which version the feed has.
    through_feed    BOOLEAN NOT NULL DEFAULT FALSE,
    fed_version     BIGINT,
    -- The flush that took the row last, the version that it took, and until when what it sent may land.
    claim           BIGINT,
    claimed_version BIGINT,
    claimed_until   BIGINT,
    -- Until when earlier writes of the row, whose outcome nobody knows, may still land.
    unsettled_until BIGINT
);
INSERT INTO outbox VALUES('api_key_01M8EMDF7RMVCF98NQ5QGHF504','api_key',1795787504888,1795787504891,1795787504891,1,NULL,NULL,NULL,NULL,NULL);
INSERT INTO outbox VALUES('api_key_01M8EMDG7AJJC9K8PVKFPK2R0T','api_key',1795787506906,1795787505899,1795787506906,1,NULL,NULL,NULL,NULL,NULL);
INSERT INTO outbox VALUES('api_key_01M8EMDESWTDY34RX7N2MY31DX','api_key',1795787516923,1795787516923,1795787525087,0,NULL,NULL,1795787516923,NULL,NULL);
INSERT INTO outbox VALUES('management_key_01M8EMDEJQ1MY82VE3Y44WFYBH','management_key',1795787504215,1795787522071,1795787525087,0,NULL,NULL,1795787504215,NULL,NULL);
INSERT INTO outbox VALUES('management_key_01M8EMDEK1457TEY8NT15RH8HK','management_key',1795787504225,1795787522071,1795787525087,0,NULL,NULL,1795787504225,NULL,NULL);
INSERT INTO outbox VALUES('management_key_01M8EMDEKBEFH2D0ZA71W3CGVK','management_key',1795787504271,1795787522071,1795787525087,0,NULL,NULL,1795787504271,NULL,NULL);
INSERT INTO outbox VALUES('management_key_01M8EMDEKMYV76CN88YZFYFCJ1','management_key',1795787504244,1795787522071,1795787525087,0,NULL,NULL,1795787504244,NULL,NULL);
CREATE TABLE scope_changes (
    -- `organization:<id>`, or `permission:<environment>:<slug>`.
    name           TEXT NOT NULL PRIMARY KEY,
    environment_id TEXT NOT NULL REFERENCES environments (id),
    -- Records that were sealed with a lower generation of the scope are subject to the effect.
    generation     BIGINT NOT NULL,
    -- JSON.
    effect         TEXT NOT NULL,
    changed_at     BIGINT NOT NULL,
    -- Whether the feed has it, and whether somebody was told so.
    fed            BOOLEAN NOT NULL DEFAULT FALSE,
    acknowledged   BOOLEAN NOT NULL DEFAULT FALSE
);
INSERT INTO scope_changes VALUES('role:role_01M8EMDEP67FH44GPQ5Z0QVM2Z','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',1795787516923,'{"allow_only":["posts:read"]}',1795787516925,0,0);
INSERT INTO scope_changes VALUES('role:role_01M8EMDEPDXZPHV8F9Z6HP51BH','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',1795787504335,'{"allow_only":["posts:read"]}',1795787504336,0,1);
INSERT INTO scope_changes VALUES('role:role_01M8EMDEQ390XQTYRC9ASDEYTY','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',1795787504360,'{"allow_only":["posts:write"]}',1795787504362,0,1);
INSERT INTO scope_changes VALUES('membership:om_01M8EMDEQYA39GQYJCRZRS7AZW','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',1795787504456,'"revoke"',1795787504457,0,1);
INSERT INTO scope_changes VALUES('membership:om_01M8EMDER0TZJYQH3GFFHMDCXB','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',1795787504468,'"disable"',1795787504468,0,1);
INSERT INTO scope_changes VALUES('organization:org_01M8EMDEPVCD5JBWMCH4NF1BDG','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',1795787504484,'"revoke"',1795787504485,0,1);
INSERT INTO scope_changes VALUES('permission:environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA:admin','environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',1795787511912,'"revoke"',1795787511914,0,0);
CREATE TABLE feed_position (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    epoch    BIGINT NOT NULL,
    sequence BIGINT NOT NULL
);
INSERT INTO feed_position VALUES(1,3,41);
CREATE TABLE edge_sync (
    namespace  TEXT NOT NULL,
    -- As in the outbox.
    kind       TEXT NOT NULL,
    cursor     TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (namespace, kind)
);
INSERT INTO edge_sync VALUES('keys','management_key','management_key_01M8EMDEKMYV76CN88YZFYFCJ1',1795787522071);
CREATE TABLE last_uses (
    key_id  TEXT NOT NULL PRIMARY KEY,
    used_at BIGINT NOT NULL
);
INSERT INTO last_uses VALUES('api_key_01M8EMDER3HABDAJEH69NP7ND6',1795787521937);
INSERT INTO last_uses VALUES('api_key_01M8EMDESBAQ4FZX9K856T8CK7',1795787504558);
INSERT INTO last_uses VALUES('api_key_01M8EMDESSXETC4P2AAG5D35J6',1795787504563);
INSERT INTO last_uses VALUES('api_key_01M8EMDESWTDY34RX7N2MY31DX',1795787521939);
INSERT INTO last_uses VALUES('api_key_01M8EMDET05ZQANBRK3CSHVM8Z',1795787504572);
INSERT INTO last_uses VALUES('api_key_01M8EMDEW1DPTR3W8RMR087D1A',1795787504590);
INSERT INTO last_uses VALUES('api_key_01M8EMDF7RMVCF98NQ5QGHF504',1795787521932);
CREATE TABLE usage (
    key_id  TEXT NOT NULL,
    hour    BIGINT NOT NULL,
    -- `valid`, or the code of the refusal.
    outcome TEXT NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (key_id, hour, outcome)
);
INSERT INTO usage VALUES('api_key_01M8EMDER3HABDAJEH69NP7ND6',498829,'valid',4);
INSERT INTO usage VALUES('api_key_01M8EMDERBJFMZ5ZKEBE859QR7',498829,'ip_not_allowed',3);
INSERT INTO usage VALUES('api_key_01M8EMDERFBC72K5RGH35GM4QP',498829,'revoked',3);
INSERT INTO usage VALUES('api_key_01M8EMDERPB9PGAC7V5EERC0CB',498829,'expired',3);
INSERT INTO usage VALUES('api_key_01M8EMDERXWYCW5FJM88G8Z3X3',498829,'disabled',3);
INSERT INTO usage VALUES('api_key_01M8EMDES4NPE27DGFPCZJ1JRJ',498829,'not_yet_valid',3);
INSERT INTO usage VALUES('api_key_01M8EMDES8DWBY273HP0A6PDZJ',498829,'expired',3);
INSERT INTO usage VALUES('api_key_01M8EMDESBAQ4FZX9K856T8CK7',498829,'valid',3);
INSERT INTO usage VALUES('api_key_01M8EMDESSXETC4P2AAG5D35J6',498829,'valid',3);
INSERT INTO usage VALUES('api_key_01M8EMDESWTDY34RX7N2MY31DX',498829,'valid',4);
INSERT INTO usage VALUES('api_key_01M8EMDET05ZQANBRK3CSHVM8Z',498829,'valid',3);
INSERT INTO usage VALUES('api_key_01M8EMDET4Q37XZPEHZKPF19AK',498829,'revoked',3);
INSERT INTO usage VALUES('api_key_01M8EMDETF5AAD54YQWGZ4DHDA',498829,'disabled',3);
INSERT INTO usage VALUES('api_key_01M8EMDETRH3Y96F10JZMYJ1Y9',498829,'revoked',3);
INSERT INTO usage VALUES('api_key_01M8EMDEW1DPTR3W8RMR087D1A',498829,'valid',3);
INSERT INTO usage VALUES('api_key_01M8EMDF7RMVCF98NQ5QGHF504',498829,'valid',1);
INSERT INTO usage VALUES('api_key_01M8EMDG7AJJC9K8PVKFPK2R0T',498829,'revoked',1);
CREATE TABLE environment_usage (
    environment_id TEXT NOT NULL,
    hour           BIGINT NOT NULL,
    outcome        TEXT NOT NULL,
    count          BIGINT NOT NULL,
    PRIMARY KEY (environment_id, hour, outcome)
);
INSERT INTO environment_usage VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',498829,'disabled',6);
INSERT INTO environment_usage VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',498829,'expired',6);
INSERT INTO environment_usage VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',498829,'ip_not_allowed',3);
INSERT INTO environment_usage VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',498829,'not_found',1);
INSERT INTO environment_usage VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',498829,'not_yet_valid',3);
INSERT INTO environment_usage VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',498829,'revoked',10);
INSERT INTO environment_usage VALUES('environment_01M8EMDEJ2QAAH4Q0SVNWAKBVA',498829,'valid',21);
CREATE TABLE usage_senders (
    sender  TEXT NOT NULL PRIMARY KEY,
    number  BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
INSERT INTO usage_senders VALUES('guXVZs0uuaq4tXdIEHuBeg',1,1795787504592);
INSERT INTO usage_senders VALUES('Js5M5UVNxItoQeMirRULDw',1,1795787521941);
CREATE TABLE idempotent_answers (
    place       BLOB NOT NULL PRIMARY KEY,
    -- Of the method, the path and the body.
    fingerprint BLOB NOT NULL,
    -- NULL only within the transaction that creates.
    answer      BLOB,
    created_at  BIGINT NOT NULL
);
INSERT INTO idempotent_answers VALUES(X'd234684a2bbfbb3ea10ce456c8b775f111992b75fc26c1ed6f0e9b5ed1f553db',X'e263609abffa7d47ae86c1918e5202d63e262acf25161bc0db0cfff3911a1ce2',X'd20ae1ce84e8327e0702cde689a52b14664322fb3647c50eac1772a9d1d5859d2e7afa573749f3e29d7f83913191ee29b7349e63f23fce81fed33cb2b8f9c9d82e38f298a7ce8d731e7322ad6c9ad6a2d28a9abe0b1d1f4894296b481da82f4c2794af7df5049bfa2ca0ead0ac06069236245acf975c503f235f9f31499187f0c5b4ee207a7f5dd656f311025ec3c23423b073731c07afe3100c9cc05e1aaf5d6e188f1f0bad2cb50515610173a9d0b28a01ed22fb93a5850a8ad32a0ba989324514428e54142150eabf1cf345ec436e8dc27d6b706cfafaef37a44b9709b9a69e2f776ecc7d332f7f01bdbffce111f4f2ae579ff93535c8373adb7b35dd405bb5ca1f05c62e0c42a2cb83cf0a15b92e8a885db8fac4659f396773a91e48228a1bcad2fdc0bd89d9fc9d29e59dcfb0ab797a8ba1604720aa7b0444ffe38aef2db2f6f5794c67db188bda622d3bde9e52130219ed448997ecdce16cafde5a93ceef91ed70f1b3a24fe28d4b98817229f45fc1c0d0bbd34903db2737a8894b8df4e04b8917adda335146b43a9784c177f3d5faf2fd5ac66b806b7dccd445e3e552d483df9d813c063d565b078f0e65b70b4bf1838bacf0a69e8f846ce0c510102c5988236a29283e0dcb5230ebc75271c2e6d9768a53fb6279d83a451d46f8293563c03af187b642de370d4706e90881908bdcc638f8123695390c933e0e1eaf9c49b0fd38baad5bc2d983cf9e780324e7de081c3cfe84418541bf13694e',1795787504427);
INSERT INTO idempotent_answers VALUES(X'8a015b26bdc67cc2c244f32bff357bc825d91aa63277d58b6d68e9d0a4f70cbb',X'1ac960a015d819aa114bd63abf5960ffdfa6605aa372d29aa083feae0182c4a9',X'30c834de081e0b652589e465398521be14977b2fe1a71ce9d147af7e7eb197a998296ec36b79da1b018de34c5eaa2f9e6fff83db352f0ec1bc3179249c52edcd26d49fb084b1117fc778e7bcafc20b2be9433de9517de2c692cf5edab1caa93c51cf88326daa6db2d7f353f386d2e08057e03984ac151c662f7201e22a4382188b6cfaf95655f1f861fe4b8bc8b8ef98d109f3c3c09b07eaa737d7305c5dff487124d7b7781863d171977bcd890b84449eed39f752f007eeca29d2775218de2fe098119ddf1864e7d6827373bf9f35b2545616e3fe773e4550dd1b11029b2f47a43e491f5561520edbd181d7622af350ca59394bd520964b155b9f341c6d6d0e57939c337b3ba21a578560cc5a41522e0da9dd9209b72d0928b5d8b6baa8779c6f8049976e6fb008aa1970f613446bed1bc1d45b62c1f3b3d8313717a213ffe79f078bb57931a7717711c1648dbcd381de815ad2429111972f4abde7bc5cf5ccc4b8b80282f3d4c5009cbd0bfc035f4a0edf7588e85e7d069e4353339f8324dfe5bf7490c35e3573544eaeec3176ab80da5ee77814d45e4463098ea1f751e3865c30aa4c35d42610f29547e1d1694dc285efa6f10fd4b54080f8fcce76cbea5fb1c913bee0032acd079d413ea4c69d89543570450905d33fd9b51d12c8e9e9bed9820ecfb9fa8289d5cdd077',1795787504513);
CREATE INDEX management_keys_changed ON management_keys (changed_at, id) WHERE changed_at IS NOT NULL;
CREATE INDEX management_keys_sealed ON management_keys (sealed_at, id) WHERE revoked_at IS NULL;
CREATE INDEX management_keys_of_environment ON management_keys (environment_id, id);
CREATE INDEX organizations_of_environment ON organizations (environment_id, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX organizations_by_external_id ON organizations (environment_id, external_id) WHERE deleted_at IS NULL;
CREATE INDEX organization_domains_of_organization ON organization_domains (organization_id);
CREATE INDEX permissions_of_environment ON permissions (environment_id, id);
CREATE INDEX users_of_environment ON users (environment_id, id);
CREATE UNIQUE INDEX users_by_external_id ON users (environment_id, external_id);
CREATE UNIQUE INDEX users_by_email ON users (environment_id, email_key);
CREATE UNIQUE INDEX roles_of_environment ON roles (environment_id, slug) WHERE organization_id IS NULL;
CREATE UNIQUE INDEX roles_of_organization ON roles (organization_id, slug);
CREATE INDEX memberships_of_organization ON memberships (organization_id, id);
CREATE INDEX memberships_of_user ON memberships (user_id, id);
CREATE INDEX memberships_of_role ON memberships (role_id);
CREATE INDEX api_keys_changed ON api_keys (changed_at, id) WHERE changed_at IS NOT NULL;
CREATE INDEX api_keys_sealed ON api_keys (sealed_at, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_ever_of_organization ON api_keys (environment_id, organization_id, id);
CREATE INDEX api_keys_of_organization ON api_keys (environment_id, organization_id, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_of_user ON api_keys (environment_id, user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX outbox_queued ON outbox (queued_at);
CREATE INDEX outbox_due ON outbox (next_attempt_at, key_id) WHERE NOT through_feed OR fed_version >= version;
CREATE INDEX outbox_of_claim ON outbox (claim, key_id) WHERE claim IS NOT NULL;
CREATE INDEX outbox_unfed ON outbox (queued_at, key_id)
    WHERE through_feed AND (fed_version IS NULL OR fed_version < version);
CREATE INDEX scope_changes_in_order ON scope_changes (changed_at);
CREATE INDEX scope_changes_unfed ON scope_changes (changed_at, name) WHERE NOT fed;
CREATE INDEX usage_by_hour ON usage (hour);
CREATE INDEX environment_usage_by_hour ON environment_usage (hour);
CREATE INDEX usage_senders_by_seen_at ON usage_senders (seen_at);
CREATE INDEX idempotent_answers_by_created_at ON idempotent_answers (created_at);
COMMIT;
