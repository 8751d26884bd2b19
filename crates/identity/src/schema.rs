//! The tables of the directory.

use sealpost_audit::Coverage;
use sealpost_store::{Schema, sql};

/// Names, addresses, devices, password hashes are sealed; `blind` columns are keyed hashes under the instance's key,
/// since a login or a recipient comes before its tenant is known. `mac` covers the plain columns that carry security.
pub const SCHEMA: Schema = Schema {
    name: "identity",
    steps: &["
        CREATE TABLE tenant (
            id {int} PRIMARY KEY,
            name {bytes} NOT NULL,
            profile {int} NOT NULL,
            outside_members {int} NOT NULL,
            created {int} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE TABLE domain (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            blind {bytes} NOT NULL UNIQUE,
            name {bytes} NOT NULL,
            kind {int} NOT NULL,
            hipaa {int} NOT NULL,
            floor {int} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE TABLE address (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            domain {int} NOT NULL,
            blind {bytes} NOT NULL UNIQUE,
            name {bytes} NOT NULL,
            kind {int} NOT NULL,
            account {int} NOT NULL,
            person {int} NOT NULL,
            points_to {int} NOT NULL,
            target {bytes} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE INDEX address_account ON address (account);
        CREATE TABLE person (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            account {int} NOT NULL,
            address {int} NOT NULL,
            name {bytes} NOT NULL,
            roles {int} NOT NULL,
            disabled {int} NOT NULL,
            credential {int} NOT NULL,
            epoch {int} NOT NULL,
            quiet {int} NOT NULL,
            password {bytes} NOT NULL,
            created {int} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE INDEX person_tenant ON person (tenant, id);
        CREATE TABLE app_password (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            person {int} NOT NULL,
            device {bytes} NOT NULL,
            hash {bytes} NOT NULL,
            created {int} NOT NULL,
            revoked {int} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE INDEX app_password_person ON app_password (person, id);
        CREATE TABLE setup_link (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            person {int} NOT NULL,
            blind {bytes} NOT NULL UNIQUE,
            ends {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE INDEX setup_link_person ON setup_link (person);
        CREATE TABLE official (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            rank {int} NOT NULL,
            contact {bytes} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE INDEX official_tenant ON official (tenant, rank);
        CREATE TABLE web_session (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            person {int} NOT NULL,
            blind {bytes} NOT NULL UNIQUE,
            opened {int} NOT NULL,
            seen {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE INDEX web_session_person ON web_session (person, id);
        CREATE TABLE mailbox_grant (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            account {int} NOT NULL,
            person {int} NOT NULL,
            rights {int} NOT NULL,
            expires {int} NOT NULL,
            created {int} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL,
            UNIQUE (account, person)
        ) {strict};
        CREATE INDEX mailbox_grant_person ON mailbox_grant (person, id);
        CREATE TABLE device (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            detail {bytes} NOT NULL,
            hash {bytes} NOT NULL,
            networked {int} NOT NULL,
            disabled {int} NOT NULL,
            created {int} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE TABLE connector (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            detail {bytes} NOT NULL,
            disabled {int} NOT NULL,
            created {int} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE TABLE known_place (
            person {int} NOT NULL,
            place {bytes} NOT NULL,
            tenant {int} NOT NULL,
            since {int} NOT NULL,
            mac {bytes} NOT NULL,
            PRIMARY KEY (person, place)
        ) {clustered};
        CREATE TABLE throttle (
            kind {int} NOT NULL,
            subject {bytes} NOT NULL,
            until {int} NOT NULL,
            changed {int} NOT NULL,
            PRIMARY KEY (kind, subject)
        ) {clustered};
        CREATE INDEX throttle_changed ON throttle (changed);
        CREATE TABLE ban (
            id {int} PRIMARY KEY,
            network {bytes} NOT NULL,
            detail {bytes} NOT NULL,
            created {int} NOT NULL,
            until {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE TABLE pending_act (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            kind {int} NOT NULL,
            subject {int} NOT NULL,
            proposer {int} NOT NULL,
            proposed {int} NOT NULL,
            expires {int} NOT NULL,
            state {int} NOT NULL,
            decider {int} NOT NULL,
            words {bytes} NOT NULL,
            payload {bytes} NOT NULL,
            version {int} NOT NULL,
            mac {bytes} NOT NULL
        ) {strict};
        CREATE INDEX pending_act_tenant ON pending_act (tenant, id);
        CREATE TABLE outbox (
            id {int} PRIMARY KEY,
            tenant {int} NOT NULL,
            kind {int} NOT NULL,
            person {int} NOT NULL,
            created {int} NOT NULL,
            detail {bytes} NOT NULL
        ) {strict};
    "],
    statements: STATEMENTS,
    blobs: &[],
};

/// What covers the tables of this crate, for `audit verify`.
pub const COVERAGE: &[Coverage] = &[
    Coverage { table: "tenant", by: "row MAC; its name is sealed; the log cites its version" },
    Coverage { table: "domain", by: "row MAC; its name is sealed; a removed row is named by its addresses" },
    Coverage {
        table: "address",
        by: "row MAC; the address is sealed; the log cites its version; a removed row is named by its person",
    },
    Coverage {
        table: "person",
        by: "row MAC; name and password hash are sealed; a removed row is named by its address; the log \
             cites its version",
    },
    Coverage { table: "app_password", by: "row MAC, the person within; the log cites its version" },
    Coverage { table: "setup_link", by: "row MAC; a removed row is a link that no longer works" },
    Coverage { table: "official", by: "row MAC; the contact is sealed; `check` misses a removed row" },
    Coverage { table: "mailbox_grant", by: "row MAC; the log cites its version" },
    Coverage { table: "device", by: "row MAC; name, addresses and networks are sealed" },
    Coverage { table: "connector", by: "row MAC; name, certificate and networks are sealed" },
    Coverage { table: "known_place", by: "row MAC; a removed row costs its person an alert" },
    Coverage {
        table: "throttle",
        by: "nothing: counters of failed logins; a changed one slows or spares guesses, each of which is in the log",
    },
    Coverage {
        table: "ban",
        by: "row MAC under the instance's key; a removed row lifts the ban, which the log does not say",
    },
    Coverage { table: "pending_act", by: "row MAC; what it is about is sealed" },
    Coverage {
        table: "outbox",
        by: "sealed with its plain columns; a removed row is a notice that is not sent",
    },
    Coverage {
        table: "web_session",
        by: "row MAC; the time of last use is not covered, the end after 12 hours is",
    },
];

sql! {
    pub TENANT_INSERT = "
        INSERT INTO tenant (id, name, profile, outside_members, created, version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    pub TENANT = "SELECT id, name, profile, outside_members, created, version, mac FROM tenant WHERE id = ?1";
    pub TENANTS = "SELECT id FROM tenant ORDER BY id LIMIT 1000";
    pub DOMAIN_INSERT = "
        INSERT INTO domain (id, tenant, blind, name, kind, hipaa, floor, version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (blind) DO NOTHING";
    pub DOMAIN_BY_BLIND = "
        SELECT id, tenant, blind, name, kind, hipaa, floor, version, mac FROM domain WHERE blind = ?1";
    pub DOMAINS = "
        SELECT id, tenant, blind, name, kind, hipaa, floor, version, mac
        FROM domain WHERE tenant = ?1 ORDER BY id LIMIT 1000";
    pub ADDRESS_INSERT = "
        INSERT INTO address (id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (blind) DO NOTHING";
    pub ADDRESS_BY_BLIND = "
        SELECT id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac
        FROM address WHERE blind = ?1";
    pub ADDRESS = "
        SELECT id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac
        FROM address WHERE id = ?1";
    pub ADDRESSES = "
        SELECT id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac
        FROM address WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT 1000";
    pub ADDRESS_OF_ACCOUNT = "
        SELECT id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac
        FROM address WHERE account = ?1 AND kind = 1 ORDER BY id LIMIT 1";
    pub ADDRESSES_OF_ACCOUNT = "
        SELECT id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac
        FROM address WHERE account = ?1 ORDER BY id LIMIT 1000";
    pub ADDRESSES_TO = "
        SELECT id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac
        FROM address WHERE tenant = ?1 AND points_to = ?2 ORDER BY id LIMIT 1000";
    pub ADDRESS_UPDATE = "
        UPDATE address SET kind = ?3, account = ?4, person = ?5, points_to = ?6, target = ?7, version = ?8, mac = ?9
        WHERE id = ?1 AND version = ?2";
    pub ADDRESS_DELETE = "DELETE FROM address WHERE id = ?1 AND version = ?2";
    pub DOMAIN_BY_ID = "
        SELECT id, tenant, blind, name, kind, hipaa, floor, version, mac FROM domain WHERE id = ?1";
    pub TENANT_UPDATE = "
        UPDATE tenant SET profile = ?3, outside_members = ?4, version = ?5, mac = ?6 WHERE id = ?1 AND version = ?2";
    pub GRANT_INSERT = "
        INSERT INTO mailbox_grant (id, tenant, account, person, rights, expires, created, version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (account, person) DO NOTHING";
    pub GRANT_UPDATE = "
        UPDATE mailbox_grant SET rights = ?3, expires = ?4, version = ?5, mac = ?6 WHERE id = ?1 AND version = ?2";
    pub GRANT_DELETE = "DELETE FROM mailbox_grant WHERE id = ?1 AND version = ?2";
    pub GRANT_OF = "
        SELECT id, tenant, account, person, rights, expires, created, version, mac
        FROM mailbox_grant WHERE account = ?1 AND person = ?2";
    pub GRANTS_OF_PERSON = "
        SELECT id, tenant, account, person, rights, expires, created, version, mac
        FROM mailbox_grant WHERE person = ?1 ORDER BY id LIMIT 1000";
    pub GRANTS = "
        SELECT id, tenant, account, person, rights, expires, created, version, mac
        FROM mailbox_grant WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT 1000";
    pub ALL_GRANTS = "
        SELECT id, tenant, account, person, rights, expires, created, version, mac
        FROM mailbox_grant WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub DEVICE_INSERT = "
        INSERT INTO device (id, tenant, detail, hash, networked, disabled, created, version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    pub DEVICE_UPDATE = "UPDATE device SET disabled = ?3, version = ?4, mac = ?5 WHERE id = ?1 AND version = ?2";
    pub DEVICE = "
        SELECT id, tenant, detail, hash, networked, disabled, created, version, mac FROM device WHERE id = ?1";
    pub DEVICES = "
        SELECT id, tenant, detail, hash, networked, disabled, created, version, mac
        FROM device WHERE tenant = ?1 ORDER BY id LIMIT 1000";
    pub DEVICES_BY_NETWORK = "
        SELECT id, tenant, detail, hash, networked, disabled, created, version, mac
        FROM device WHERE networked = 1 AND disabled = 0 ORDER BY id LIMIT 1000";
    pub ALL_DEVICES = "
        SELECT id, tenant, detail, hash, networked, disabled, created, version, mac
        FROM device WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub CONNECTOR_INSERT = "
        INSERT INTO connector (id, tenant, detail, disabled, created, version, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    pub CONNECTOR_UPDATE = "
        UPDATE connector SET disabled = ?3, version = ?4, mac = ?5 WHERE id = ?1 AND version = ?2";
    pub CONNECTOR = "SELECT id, tenant, detail, disabled, created, version, mac FROM connector WHERE id = ?1";
    pub CONNECTORS = "
        SELECT id, tenant, detail, disabled, created, version, mac FROM connector WHERE tenant = ?1
        ORDER BY id LIMIT 1000";
    pub ALL_CONNECTORS = "
        SELECT id, tenant, detail, disabled, created, version, mac FROM connector WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub PLACE_INSERT = "
        INSERT INTO known_place (person, place, tenant, since, mac) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (person, place) DO NOTHING";
    pub PLACES = "SELECT person, place, tenant, since, mac FROM known_place WHERE person = ?1 LIMIT 1000";
    pub ALL_PLACES = "
        SELECT person, place, tenant, since, mac FROM known_place WHERE person > ?1 ORDER BY person LIMIT 1000";
    pub THROTTLE_CHARGE = "
        INSERT INTO throttle (kind, subject, until, changed) VALUES (?1, ?2, CAST(?3 AS BIGINT) + CAST(?4 AS BIGINT), ?3)
        ON CONFLICT (kind, subject) DO UPDATE SET changed = ?3, until =
            CASE WHEN throttle.until > ?3 THEN throttle.until + CAST(?4 AS BIGINT) ELSE CAST(?3 AS BIGINT) + CAST(?4 AS BIGINT) END";
    pub THROTTLES = "
        SELECT kind, subject, until FROM throttle WHERE changed >= ?1 AND until > ?2 ORDER BY changed LIMIT 100000";
    pub THROTTLE_FORGET = "DELETE FROM throttle WHERE until <= ?1";
    pub BAN_INSERT = "INSERT INTO ban (id, network, detail, created, until, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    pub BAN = "SELECT id, network, detail, created, until, mac FROM ban WHERE id = ?1";
    pub BANS = "
        SELECT id, network, detail, created, until, mac FROM ban WHERE until > ?1 ORDER BY id LIMIT 10000";
    pub BAN_DELETE = "DELETE FROM ban WHERE id = ?1";
    pub BANS_OVER = "DELETE FROM ban WHERE until <= ?1";
    pub ALL_BANS = "SELECT id, network, detail, created, until, mac FROM ban WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ACT_INSERT = "
        INSERT INTO pending_act (id, tenant, kind, subject, proposer, proposed, expires, state, decider, words, payload,
            version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    pub ACT_UPDATE = "
        UPDATE pending_act SET state = ?3, decider = ?4, payload = ?5, version = ?6, mac = ?7
        WHERE id = ?1 AND version = ?2";
    pub ACT = "
        SELECT id, tenant, kind, subject, proposer, proposed, expires, state, decider, words, payload, version, mac
        FROM pending_act WHERE id = ?1";
    pub ACTS = "
        SELECT id, tenant, kind, subject, proposer, proposed, expires, state, decider, words, payload, version, mac
        FROM pending_act WHERE tenant = ?1 ORDER BY id DESC LIMIT 200";
    pub ACTS_OVER = "
        SELECT id, tenant, kind, subject, proposer, proposed, expires, state, decider, words, payload, version, mac
        FROM pending_act WHERE state = 0 AND expires <= ?1 ORDER BY id LIMIT 1000";
    pub ALL_ACTS = "
        SELECT id, tenant, kind, subject, proposer, proposed, expires, state, decider, words, payload, version, mac
        FROM pending_act WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub OUTBOX_INSERT = "
        INSERT INTO outbox (id, tenant, kind, person, created, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    pub OUTBOX = "SELECT id, tenant, kind, person, created, detail FROM outbox ORDER BY id LIMIT 100";
    pub OUTBOX_DELETE = "DELETE FROM outbox WHERE id = ?1";
    pub ALL_OUTBOX = "
        SELECT id, tenant, kind, person, created, detail FROM outbox WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub PERSON_INSERT = "
        INSERT INTO person (id, tenant, account, address, name, roles, disabled, credential, epoch, quiet, password,
            created, version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    pub PERSON = "
        SELECT id, tenant, account, address, name, roles, disabled, credential, epoch, quiet, password, created,
            version, mac
        FROM person WHERE id = ?1";
    pub PEOPLE = "
        SELECT id, tenant, account, address, name, roles, disabled, credential, epoch, quiet, password, created,
            version, mac
        FROM person WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT 1000";
    pub PERSON_UPDATE = "
        UPDATE person SET roles = ?3, disabled = ?4, credential = ?5, epoch = ?6, quiet = ?7, password = ?8,
            version = ?9, mac = ?10
        WHERE id = ?1 AND version = ?2";
    pub APP_PASSWORD_INSERT = "
        INSERT INTO app_password (id, tenant, person, device, hash, created, revoked, version, mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    pub APP_PASSWORDS = "
        SELECT id, tenant, person, device, hash, created, revoked, version, mac
        FROM app_password WHERE person = ?1 ORDER BY id LIMIT 1000";
    pub APP_PASSWORD_UPDATE = "
        UPDATE app_password SET revoked = ?3, version = ?4, mac = ?5 WHERE id = ?1 AND version = ?2";
    pub SETUP_LINK_INSERT = "
        INSERT INTO setup_link (id, tenant, person, blind, ends, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    pub SETUP_LINK_BY_BLIND = "SELECT id, tenant, person, blind, ends, mac FROM setup_link WHERE blind = ?1";
    pub SETUP_LINK_OF = "SELECT id FROM setup_link WHERE person = ?1 LIMIT 1";
    pub SETUP_LINKS_DELETE = "DELETE FROM setup_link WHERE person = ?1";
    pub OFFICIAL_INSERT = "
        INSERT INTO official (id, tenant, rank, contact, version, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    pub OFFICIAL_DELETE = "DELETE FROM official WHERE tenant = ?1 AND (rank = ?2 OR id = ?3)";
    pub OFFICIALS = "
        SELECT id, tenant, rank, contact, version, mac FROM official WHERE tenant = ?1 ORDER BY rank LIMIT 1000";
    pub SESSION_INSERT = "
        INSERT INTO web_session (id, tenant, person, blind, opened, seen, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    pub SESSION_BY_BLIND = "SELECT id, tenant, person, blind, opened, seen, mac FROM web_session WHERE blind = ?1";
    pub SESSIONS = "
        SELECT id, tenant, person, blind, opened, seen, mac FROM web_session WHERE person = ?1 ORDER BY id LIMIT 1000";
    pub SESSION_BY_ID = "SELECT id, tenant, person, blind, opened, seen, mac FROM web_session WHERE id = ?1";
    pub SESSION_SEEN = "UPDATE web_session SET seen = ?2 WHERE id = ?1 AND seen < ?2";
    pub SESSION_DELETE = "DELETE FROM web_session WHERE id = ?1";
    pub SESSIONS_VOID = "DELETE FROM web_session";
    pub SETUP_LINKS_VOID = "DELETE FROM setup_link";
    pub SESSIONS_DELETE = "DELETE FROM web_session WHERE person = ?1";
    pub SESSIONS_OVER = "
        SELECT id, tenant, person, blind, opened, seen, mac FROM web_session WHERE seen <= ?1 OR opened <= ?2
        ORDER BY id LIMIT 1000";
    pub ALL_TENANTS = "
        SELECT id, name, profile, outside_members, created, version, mac FROM tenant WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_DOMAINS = "
        SELECT id, tenant, blind, name, kind, hipaa, floor, version, mac
        FROM domain WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_ADDRESSES = "
        SELECT id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac
        FROM address WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_PEOPLE = "
        SELECT id, tenant, account, address, name, roles, disabled, credential, epoch, quiet, password, created,
            version, mac
        FROM person WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_APP_PASSWORDS = "
        SELECT id, tenant, person, device, hash, created, revoked, version, mac
        FROM app_password WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_SETUP_LINKS = "
        SELECT id, tenant, person, blind, ends, mac FROM setup_link WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_OFFICIALS = "
        SELECT id, tenant, rank, contact, version, mac FROM official WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_SESSIONS = "
        SELECT id, tenant, person, blind, opened, seen, mac
        FROM web_session WHERE id > ?1 ORDER BY id LIMIT 1000";
}
