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
FROM judged;
