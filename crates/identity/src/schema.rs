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
    "],
    statements: STATEMENTS,
    blobs: &[],
};

/// What covers the tables of this crate, for `audit verify`.
pub const COVERAGE: &[Coverage] = &[
    Coverage { table: "tenant", by: "row MAC; its name is sealed" },
    Coverage { table: "domain", by: "row MAC; its name is sealed; a removed row is named by its addresses" },
    Coverage { table: "address", by: "row MAC; the address is sealed; a removed row is named by its person" },
    Coverage {
        table: "person",
        by: "row MAC; name and password hash are sealed; a removed row is named by its address; an older whole row is not \
             seen",
    },
    Coverage { table: "app_password", by: "row MAC, the person within; an older whole row is not seen" },
    Coverage { table: "setup_link", by: "row MAC; a removed row is a link that no longer works" },
    Coverage { table: "official", by: "row MAC; the contact is sealed; `check` misses a removed row" },
    Coverage {
        table: "web_session",
        by: "row MAC; the time of last use is not covered, the end after 12 hours is",
    },
];

sql! {
    pub TENANT_INSERT = "
        INSERT INTO tenant (id, name, profile, created, version, mac) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    pub TENANT = "SELECT id, name, profile, created, version, mac FROM tenant WHERE id = ?1";
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
    pub PERSON_INSERT = "
        INSERT INTO person (id, tenant, account, address, name, roles, disabled, credential, password, created, version,
            mac)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    pub PERSON = "
        SELECT id, tenant, account, address, name, roles, disabled, credential, password, created, version, mac
        FROM person WHERE id = ?1";
    pub PEOPLE = "
        SELECT id, tenant, account, address, name, roles, disabled, credential, password, created, version, mac
        FROM person WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT 1000";
    pub PERSON_UPDATE = "
        UPDATE person SET roles = ?3, disabled = ?4, credential = ?5, password = ?6, version = ?7, mac = ?8
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
    pub SESSIONS_DELETE = "DELETE FROM web_session WHERE person = ?1";
    pub SESSIONS_OVER = "
        SELECT id, tenant, person, blind, opened, seen, mac FROM web_session WHERE seen <= ?1 OR opened <= ?2
        ORDER BY id LIMIT 1000";
    pub ALL_TENANTS = "
        SELECT id, name, profile, created, version, mac FROM tenant WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_DOMAINS = "
        SELECT id, tenant, blind, name, kind, hipaa, floor, version, mac
        FROM domain WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_ADDRESSES = "
        SELECT id, tenant, domain, blind, name, kind, account, person, points_to, target, version, mac
        FROM address WHERE id > ?1 ORDER BY id LIMIT 1000";
    pub ALL_PEOPLE = "
        SELECT id, tenant, account, address, name, roles, disabled, credential, password, created, version, mac
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
