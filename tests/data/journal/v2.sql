-- A journal of format version 2, as `sqlite3 journal.db .dump` prints it, the two pragmas added.
PRAGMA application_id = 1919906916;
PRAGMA user_version = 2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE events (
    id       INTEGER PRIMARY KEY,  -- the order in which everything happened
    at_ms    INTEGER NOT NULL,     -- when, in milliseconds since 1970 (UTC)
    remote   TEXT NOT NULL,
    token    TEXT NOT NULL,        -- user@realm!name, as the config names it
    rotation TEXT,                 -- the rotation planned last; none before the first
    kind     TEXT NOT NULL,        -- what body says in $.event
    step     TEXT,                 -- for began, done, failed: the step as people read it
    body     TEXT NOT NULL CHECK (json_valid(body))  -- the whole event; the columns before it are for people
) STRICT;
INSERT INTO events VALUES(1,1795316400000,'lab','ci@pve!deploy',NULL,'adopted',NULL,'{"event":"adopted","name":"deploy","expiry":"never","at":1795316400000}');
INSERT INTO events VALUES(2,1795316410000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','planned',NULL,'{"event":"planned","plan":{"rotation":"00000000-0000-0000-0000-000000000001","job":"ci","instance":"ops1","at":1795316410000,"reason":"schedule","rehearse":false,"strategy":"replace","fresh":"deploy-20261122T030010Z","reuse":false,"stale":"deploy","stale_expiry":"never","privsep":true,"expire":11232000000,"comment":"the pipeline''s","grants":[{"path":"/vms","role":"PVEVMAdmin","propagate":true}],"listed":false,"drifted":false,"destinations":{"command-1":{"readable":false,"late":true,"after":false},"file-1":{"readable":true,"late":false,"after":true}},"grace":86400000,"retire_after":604800000,"retire":"auto","first_retire":"auto","late_max":600000}}');
INSERT INTO events VALUES(3,1795316411000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','create','{"event":"began","step":"create","at":1795316411000}');
INSERT INTO events VALUES(4,1795316412000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','create','{"event":"done","step":"create","gave":"effect","at":1795316412000}');
INSERT INTO events VALUES(5,1795316413000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','grant','{"event":"began","step":"grant","at":1795316413000}');
INSERT INTO events VALUES(6,1795316414000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','grant','{"event":"done","step":"grant","gave":"effect","at":1795316414000}');
INSERT INTO events VALUES(7,1795316415000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','verify','{"event":"began","step":"verify","at":1795316415000}');
INSERT INTO events VALUES(8,1795316416000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','verify','{"event":"done","step":"verify","gave":"effect","at":1795316416000}');
INSERT INTO events VALUES(9,1795316417000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','publish file-1','{"event":"began","step":{"publish":"file-1"},"held":"ci@pve!deploy","at":1795316417000}');
INSERT INTO events VALUES(10,1795316418000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','publish file-1','{"event":"done","step":{"publish":"file-1"},"gave":"effect","at":1795316418000}');
INSERT INTO events VALUES(11,1795316419000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','confirm file-1','{"event":"began","step":{"confirm":"file-1"},"at":1795316419000}');
INSERT INTO events VALUES(12,1795316420000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','confirm file-1','{"event":"done","step":{"confirm":"file-1"},"gave":"matches","at":1795316420000}');
INSERT INTO events VALUES(13,1795316421000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','after file-1','{"event":"began","step":{"after":"file-1"},"at":1795316421000}');
INSERT INTO events VALUES(14,1795316422000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','failed','after file-1','{"event":"failed","step":{"after":"file-1"},"fault":{"code":"after_failed","severity":"passing","what":"after file-1","because":"exit status 1","next":"see the unit''s log"},"at":1795316422000}');
INSERT INTO events VALUES(15,1795316432000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','after file-1','{"event":"began","step":{"after":"file-1"},"at":1795316432000}');
INSERT INTO events VALUES(16,1795316433000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','after file-1','{"event":"done","step":{"after":"file-1"},"gave":"effect","at":1795316433000}');
INSERT INTO events VALUES(17,1795316434000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','publish command-1','{"event":"began","step":{"publish":"command-1"},"at":1795316434000}');
INSERT INTO events VALUES(18,1795316435000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','publish command-1','{"event":"done","step":{"publish":"command-1"},"gave":"effect","at":1795316435000}');
INSERT INTO events VALUES(19,1795402800000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','ordered',NULL,'{"event":"ordered","order":"retire","by":"uid 0 (root)","at":1795402800000}');
INSERT INTO events VALUES(20,1795402900000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','expire deploy','{"event":"began","step":{"expire":"deploy"},"former":"never","at":1795402900000}');
INSERT INTO events VALUES(21,1795402901000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','expire deploy','{"event":"done","step":{"expire":"deploy"},"gave":"effect","at":1795402901000}');
INSERT INTO events VALUES(22,1796016400000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','began','delete deploy','{"event":"began","step":{"delete":"deploy"},"at":1796016400000}');
INSERT INTO events VALUES(23,1796016401000,'lab','ci@pve!deploy','00000000-0000-0000-0000-000000000001','done','delete deploy','{"event":"done","step":{"delete":"deploy"},"gave":"effect","at":1796016401000}');
INSERT INTO events VALUES(24,1795316400000,'lab','ci@pve!build',NULL,'refused',NULL,'{"event":"refused","fault":{"code":"proxmox_forbidden","severity":"lasting","what":"could not grant privileges to ci@pve!build-b on lab","because":"403, the rotator''s own token lacks Permissions.Modify on /","next":"grant it on /, then run `rotate retry ci`"},"at":1795316400000}');
INSERT INTO events VALUES(25,1795316401000,'lab','ci@pve!build',NULL,'sick',NULL,'{"event":"sick","because":"file-1 holds nothing","at":1795316401000}');
INSERT INTO events VALUES(26,1795316402000,'lab','ci@pve!build',NULL,'well',NULL,'{"event":"well","at":1795316402000}');
INSERT INTO events VALUES(27,1795316410000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','planned',NULL,'{"event":"planned","plan":{"rotation":"00000000-0000-0000-0000-000000000002","job":"ci","instance":"ops1","at":1795316410000,"reason":"schedule","rehearse":false,"strategy":"replace","fresh":"build-a","reuse":false,"stale":null,"stale_expiry":"never","privsep":true,"expire":11232000000,"comment":"the pipeline''s","grants":[{"path":"/vms","role":"PVEVMAdmin","propagate":true}],"listed":false,"drifted":false,"destinations":{"command-1":{"readable":false,"late":true,"after":false},"file-1":{"readable":true,"late":false,"after":true}},"grace":86400000,"retire_after":604800000,"retire":"auto","first_retire":"auto","late_max":600000}}');
INSERT INTO events VALUES(28,1795316411000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','began','create','{"event":"began","step":"create","at":1795316411000}');
INSERT INTO events VALUES(29,1795316446000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','failed','create','{"event":"failed","step":"create","fault":{"code":"proxmox_unanswered","severity":"unanswered","what":"no answer from lab","because":"timed out after 35s","next":"nothing"},"at":1795316446000}');
INSERT INTO events VALUES(30,1795316450000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','resumed',NULL,'{"event":"resumed","at":1795316450000}');
INSERT INTO events VALUES(31,1795316451000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','named',NULL,'{"event":"named","fresh":"build-b","reuse":false,"at":1795316451000}');
INSERT INTO events VALUES(32,1795316452000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','began','create','{"event":"began","step":"create","at":1795316452000}');
INSERT INTO events VALUES(33,1795316453000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','done','create','{"event":"done","step":"create","gave":"effect","at":1795316453000}');
INSERT INTO events VALUES(34,1795316454000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','began','grant','{"event":"began","step":"grant","at":1795316454000}');
INSERT INTO events VALUES(35,1795316455000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','failed','grant','{"event":"failed","step":"grant","fault":{"code":"proxmox_forbidden","severity":"lasting","what":"could not grant privileges to ci@pve!build-b on lab","because":"403, the rotator''s own token lacks Permissions.Modify on /","next":"grant it on /, then run `rotate retry ci`"},"at":1795316455000}');
INSERT INTO events VALUES(36,1795316456000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','began','discard build-b','{"event":"began","step":{"discard":"build-b"},"at":1795316456000}');
INSERT INTO events VALUES(37,1795316457000,'lab','ci@pve!build','00000000-0000-0000-0000-000000000002','done','discard build-b','{"event":"done","step":{"discard":"build-b"},"gave":"effect","at":1795316457000}');
INSERT INTO events VALUES(38,1795316410000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','planned',NULL,'{"event":"planned","plan":{"rotation":"00000000-0000-0000-0000-000000000003","job":"ci","instance":"ops1","at":1795316410000,"reason":"schedule","rehearse":false,"strategy":"replace","fresh":"web-a","reuse":false,"stale":null,"stale_expiry":"never","privsep":true,"expire":11232000000,"comment":"the pipeline''s","grants":[{"path":"/vms","role":"PVEVMAdmin","propagate":true}],"listed":false,"drifted":false,"destinations":{"command-1":{"readable":false,"late":true,"after":false},"file-1":{"readable":true,"late":false,"after":true}},"grace":86400000,"retire_after":604800000,"retire":"auto","first_retire":"auto","late_max":600000}}');
INSERT INTO events VALUES(39,1795316411000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','began','create','{"event":"began","step":"create","at":1795316411000}');
INSERT INTO events VALUES(40,1795316412000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','done','create','{"event":"done","step":"create","gave":"effect","at":1795316412000}');
INSERT INTO events VALUES(41,1795316411000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','began','grant','{"event":"began","step":"grant","at":1795316411000}');
INSERT INTO events VALUES(42,1795316412000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','done','grant','{"event":"done","step":"grant","gave":"effect","at":1795316412000}');
INSERT INTO events VALUES(43,1795316411000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','began','verify','{"event":"began","step":"verify","at":1795316411000}');
INSERT INTO events VALUES(44,1795316412000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','done','verify','{"event":"done","step":"verify","gave":"effect","at":1795316412000}');
INSERT INTO events VALUES(45,1795316413000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','began','publish command-1','{"event":"began","step":{"publish":"command-1"},"at":1795316413000}');
INSERT INTO events VALUES(46,1795316414000,'lab','ci@pve!web','00000000-0000-0000-0000-000000000003','failed','publish command-1','{"event":"failed","step":{"publish":"command-1"},"fault":{"code":"proxmox_forbidden","severity":"lasting","what":"could not grant privileges to ci@pve!build-b on lab","because":"403, the rotator''s own token lacks Permissions.Modify on /","next":"grant it on /, then run `rotate retry ci`"},"at":1795316414000}');
INSERT INTO events VALUES(47,1795316400000,'lab','ci@pve!docs',NULL,'adopted',NULL,'{"event":"adopted","name":"docs","expiry":"never","at":1795316400000}');
INSERT INTO events VALUES(48,1795316410000,'lab','ci@pve!docs','00000000-0000-0000-0000-000000000004','planned',NULL,'{"event":"planned","plan":{"rotation":"00000000-0000-0000-0000-000000000004","job":"ci","instance":"ops1","at":1795316410000,"reason":"asked","asked_by":"uid 1000 (anna): before the audit","rehearse":false,"strategy":"replace","fresh":"docs-20261122T030010Z","reuse":false,"stale":"docs","stale_expiry":"never","privsep":true,"expire":11232000000,"comment":"the pipeline''s","grants":[{"path":"/vms","role":"PVEVMAdmin","propagate":true}],"listed":false,"drifted":false,"destinations":{"command-1":{"readable":false,"late":true,"after":false},"file-1":{"readable":true,"late":false,"after":true}},"grace":86400000,"retire_after":604800000,"retire":"auto","first_retire":"auto","late_max":600000}}');
INSERT INTO events VALUES(49,1795316411000,'lab','ci@pve!docs','00000000-0000-0000-0000-000000000004','began','create','{"event":"began","step":"create","at":1795316411000}');
INSERT INTO events VALUES(50,1795316412000,'lab','ci@pve!docs','00000000-0000-0000-0000-000000000004','done','create','{"event":"done","step":"create","gave":"effect","at":1795316412000}');
INSERT INTO events VALUES(51,1795316413000,'lab','ci@pve!docs','00000000-0000-0000-0000-000000000004','paused',NULL,'{"event":"paused","until":1795320000000,"by":"uid 1000 (anna)","at":1795316413000}');
INSERT INTO events VALUES(52,1795316414000,'lab','ci@pve!docs','00000000-0000-0000-0000-000000000004','began','discard docs-20261122T030010Z','{"event":"began","step":{"discard":"docs-20261122T030010Z"},"at":1795316414000}');
INSERT INTO events VALUES(53,1795316415000,'lab','ci@pve!docs','00000000-0000-0000-0000-000000000004','done','discard docs-20261122T030010Z','{"event":"done","step":{"discard":"docs-20261122T030010Z"},"gave":"effect","at":1795316415000}');
INSERT INTO events VALUES(54,1795316416000,'lab','ci@pve!docs','00000000-0000-0000-0000-000000000004','unpaused',NULL,'{"event":"unpaused","by":"uid 1000 (anna)","at":1795316416000}');
INSERT INTO events VALUES(55,1795316417000,'lab','ci@pve!docs','00000000-0000-0000-0000-000000000004','paused',NULL,'{"event":"paused","by":"uid 1000 (anna)","at":1795316417000}');
CREATE INDEX events_by_token ON events (remote, token, id);
CREATE INDEX events_by_rotation ON events (rotation, id);
CREATE VIEW log AS
SELECT
    id,
    datetime(at_ms / 1000, 'unixepoch', 'localtime') AS time,
    remote,
    token,
    CASE kind
        WHEN 'began' THEN step || ': began'
        WHEN 'done' THEN step || ': done'
            || CASE json_extract(body, '$.gave') WHEN 'effect' THEN '' ELSE ', ' || json_extract(body, '$.gave') END
        WHEN 'failed' THEN step || ': failed'
        WHEN 'planned' THEN 'planned (' || json_extract(body, '$.plan.reason')
            || coalesce(' by ' || json_extract(body, '$.plan.asked_by'), '') || '): '
            || coalesce(json_extract(body, '$.plan.stale'), 'nothing') || ' -> ' || json_extract(body, '$.plan.fresh')
        WHEN 'named' THEN 'next name: ' || json_extract(body, '$.fresh')
        WHEN 'adopted' THEN 'adopted ' || json_extract(body, '$.name')
        WHEN 'rebuilt' THEN 'rebuilt after a lost journal: ' || json_extract(body, '$.current') || ' is current'
        WHEN 'found' THEN 'found ' || json_extract(body, '$.name')
        WHEN 'absent' THEN json_extract(body, '$.name') || ' is not on the server'
        WHEN 'foreign' THEN json_extract(body, '$.name') || ' is not ours'
        WHEN 'in_use' THEN json_extract(body, '$.name') || ' is still held by ' || json_extract(body, '$.holder')
        WHEN 'refused' THEN 'no rotation could be planned'
        WHEN 'resumed' THEN 'the process started anew'
        WHEN 'sick' THEN 'needs repair: ' || json_extract(body, '$.because')
        WHEN 'well' THEN 'well again'
        WHEN 'expires' THEN 'somebody changed the expiry of ' || json_extract(body, '$.name')
        WHEN 'unseen' THEN 'cannot look at the remote'
        WHEN 'seen' THEN 'can look at the remote again'
        WHEN 'held' THEN 'on hold'
        WHEN 'removed' THEN 'the job left the config'
        WHEN 'returned' THEN 'the job is back in the config'
        WHEN 'paused' THEN 'paused by ' || json_extract(body, '$.by')
            || coalesce(' until ' || strftime('%Y-%m-%dT%H:%M:%SZ', json_extract(body, '$.until') / 1000, 'unixepoch'), '')
        WHEN 'unpaused' THEN 'pause ended by ' || json_extract(body, '$.by')
        WHEN 'ordered' THEN json_extract(body, '$.order') || ' ordered by ' || json_extract(body, '$.by')
        ELSE kind
    END AS what,
    json_extract(body, '$.fault.what') || ' [' || json_extract(body, '$.fault.code') || '] because: '
        || json_extract(body, '$.fault.because') || ' next: ' || json_extract(body, '$.fault.next') AS fault
FROM events;
CREATE VIEW rotations AS
WITH
    plans AS (
        SELECT id, at_ms, remote, token, rotation, json_extract(body, '$.plan') AS plan
        FROM events WHERE kind = 'planned'
    ),
    named AS (
        SELECT plans.*,
            (SELECT max(e.id) FROM events AS e
             WHERE e.rotation = plans.rotation AND e.remote = plans.remote AND e.token = plans.token
               AND (e.kind IN ('planned', 'named') OR (e.kind = 'began' AND e.step IN ('create', 'regenerate')))
            ) AS newest,
            (SELECT json_extract(e.body, '$.fresh') FROM events AS e
             WHERE e.rotation = plans.rotation AND e.remote = plans.remote AND e.token = plans.token
               AND e.kind = 'named' ORDER BY e.id DESC LIMIT 1
            ) AS renamed,
            EXISTS (SELECT 1 FROM events AS e
             WHERE e.rotation = plans.rotation AND e.remote = plans.remote AND e.token = plans.token
               AND e.kind = 'began'
               AND (e.step LIKE 'publish %'
                    OR (e.step = 'regenerate' AND json_extract(plans.plan, '$.strategy') = 'in-place'))
            ) AS committed,
            EXISTS (SELECT 1 FROM events AS e
             WHERE e.remote = plans.remote AND e.token = plans.token AND e.id > plans.id AND e.kind = 'planned'
            ) AS succeeded,
            (SELECT max(e.id) FROM events AS e
             WHERE e.rotation = plans.rotation AND e.remote = plans.remote AND e.token = plans.token
               AND e.kind = 'ordered' AND json_extract(e.body, '$.order') = 'abandon'
            ) AS given_up,
            -- a pause ends what has not begun to publish
            (SELECT min(p.id) FROM events AS p
             WHERE p.rotation = plans.rotation AND p.remote = plans.remote AND p.token = plans.token
               AND p.kind = 'paused' AND NOT EXISTS (SELECT 1 FROM events AS e
                WHERE e.rotation = plans.rotation AND e.remote = plans.remote AND e.token = plans.token
                  AND e.id < p.id AND e.kind = 'began'
                  AND (e.step LIKE 'publish %'
                       OR (e.step = 'regenerate' AND json_extract(plans.plan, '$.strategy') = 'in-place')))
            ) AS paused,
            (SELECT max(e.id) FROM events AS e
             WHERE e.rotation = plans.rotation AND e.remote = plans.remote AND e.token = plans.token
               AND (e.kind IN ('held', 'removed')
                    OR (e.kind = 'failed' AND json_extract(e.body, '$.fault.severity') = 'lasting'
                        AND substr(e.step, 1, 7) NOT IN ('discard', 'expire ', 'delete ', 'revive ')))
            ) AS stopped,
            (SELECT max(e.id) FROM events AS e
             WHERE e.rotation = plans.rotation AND e.remote = plans.remote AND e.token = plans.token
               AND (e.kind IN ('planned', 'named', 'ordered', 'returned')
                    OR (e.kind = 'began' AND substr(e.step, 1, 7) NOT IN ('discard', 'expire ', 'delete ', 'revive ')))
            ) AS moved
        FROM plans
    ),
    ended AS (
        SELECT named.*,
            (SELECT min(e.id) FROM events AS e
             WHERE e.rotation = named.rotation AND e.remote = named.remote AND e.token = named.token
               AND e.id > named.newest AND e.kind = 'done' AND e.step = 'verify'
               AND json_extract(e.body, '$.gave') = 'effect'
            ) AS verified,
            -- the row with which the last destination was ready; none while one of them is not
            (SELECT CASE WHEN count(ready) = count(*) THEN max(ready) END FROM (
                SELECT (SELECT min(e.id) FROM events AS e
                        WHERE e.rotation = named.rotation AND e.remote = named.remote AND e.token = named.token
                          AND e.id > named.newest AND e.kind = 'done'
                          AND json_extract(e.body, '$.gave') IN ('effect', 'matches')
                          AND e.step = CASE
                                  WHEN json_extract(d.value, '$.after') THEN 'after '
                                  WHEN json_extract(d.value, '$.readable') THEN 'confirm '
                                  ELSE 'publish ' END || d.key) AS ready
                FROM json_each(named.plan, '$.destinations') AS d)
            ) AS ready
        FROM named
    ),
    judged AS (
        SELECT ended.*,
            CASE
                WHEN json_extract(plan, '$.rehearse') AND verified IS NOT NULL THEN 'rehearsed'
                WHEN ready IS NOT NULL THEN 'rotated'
                WHEN given_up IS NOT NULL OR paused IS NOT NULL THEN 'abandoned'
                WHEN stopped > moved AND committed AND NOT succeeded THEN 'on hold'
                WHEN stopped > moved OR succeeded THEN 'abandoned'
                ELSE 'under way'
            END AS verdict
        FROM ended
    )
SELECT
    datetime(at_ms / 1000, 'unixepoch', 'localtime') AS started,
    json_extract(plan, '$.job') AS job,
    remote,
    token,
    coalesce(renamed, json_extract(plan, '$.fresh')) AS fresh,
    json_extract(plan, '$.stale') AS stale,
    (SELECT datetime(e.at_ms / 1000, 'unixepoch', 'localtime') FROM events AS e
     WHERE e.id = CASE verdict
             WHEN 'rehearsed' THEN verified
             WHEN 'rotated' THEN ready
             WHEN 'abandoned' THEN coalesce(given_up, CASE WHEN stopped > moved THEN stopped END, paused) END) AS ended,
    verdict,
    json_extract(plan, '$.reason') AS reason,
    json_extract(plan, '$.asked_by') AS asked_by,
    rotation
FROM judged
;
COMMIT;
