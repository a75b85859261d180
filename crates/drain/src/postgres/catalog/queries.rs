//! The queries on the system catalog. They work since PostgreSQL 12.
//!
//! Source: PostgreSQL documentation, part "Internals", chapter "System Catalogs".

/// A catalog that changes in between would be read half and half.
pub(super) const ONE_SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// The schema is null where no schema of the search path exists.
pub(super) const DATABASE: &str = "
SELECT current_schema()::text AS schema,
       EXISTS (SELECT FROM pg_constraint WHERE condeferrable) AS has_deferrable,
       current_setting('server_encoding') IN ('UTF8', 'SQL_ASCII') AS takes_any_text";

/// Tables that may be written. Disabled triggers count: they may be enabled at any time. A table is
/// watched where each state of a row may be judged as a whole: by a policy, a partition's bounds, a
/// generated column, or a constraint or index on the whole row, which has no number as columns have.
pub(super) const TABLES: &str = "
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name,
       EXISTS (SELECT FROM pg_trigger t WHERE NOT t.tgisinternal AND (t.tgrelid = c.oid
           OR c.relkind = 'p' AND t.tgrelid IN (SELECT relid FROM pg_partition_tree(c.oid))))
           AS has_triggers,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid) AS has_rules,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
           AS has_children,
       c.relrowsecurity AS has_row_security,
       c.relkind = 'p' OR c.relispartition OR c.relrowsecurity
           OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '')
           OR EXISTS (SELECT FROM pg_constraint k
                      WHERE k.conrelid = c.oid
                        AND (coalesce(cardinality(k.conkey), 0) = 0 OR 0 = ANY (k.conkey)))
           OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid
                      AND concat(i.indexprs, i.indpred) LIKE '%:varattno 0 %')
           AS is_watched
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidegate')";

/// Their columns, in order. An array's collation is that of its elements. A column is watched where
/// a constraint other than NOT NULL is on it, or an index has it as a key, in an expression or in a
/// predicate.
pub(super) const COLUMNS: &str = "
SELECT a.attrelid, a.attnum, a.attname::text AS attname, a.atttypid, a.atttypmod, a.attnotnull,
       a.attgenerated <> '' AS is_generated,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       coalesce(l.collisdeterministic, true) AS is_deterministic,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype <> 'n'
                 AND a.attnum = ANY (k.conkey))
           OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid
                        AND a.attnum = ANY (i.indkey::int2[]))
           OR EXISTS (SELECT FROM pg_depend d JOIN pg_class i ON i.oid = d.objid
                      WHERE d.classid = 'pg_class'::regclass AND i.relkind IN ('i', 'I')
                        AND d.refclassid = 'pg_class'::regclass
                        AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum)
           AS is_watched
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relkind IN ('r', 'p')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidegate')
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum";

/// The columns' types, and what those are made of.
pub(super) const TYPES: &str = "
WITH RECURSIVE used (oid) AS (
    SELECT a.atttypid FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'tidegate')
  UNION
    SELECT part.oid FROM used
    JOIN pg_type t ON t.oid = used.oid
    CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) AS part (oid)
    WHERE part.oid <> 0
)
SELECT t.oid, n.nspname::text AS schema, t.typname::text AS name, t.typtype, t.typbasetype,
       t.typtypmod, t.typnotnull, t.typdefault IS NOT NULL AS has_default,
       e.oid AS element, coalesce(e.typdelim, ',') AS delimiter,
       (SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder)
        FROM pg_enum l WHERE l.enumtypid = t.oid) AS labels
FROM used
JOIN pg_type t ON t.oid = used.oid
JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid";

/// Primary keys with their columns in the key's order.
pub(super) const PRIMARY_KEYS: &str = "
SELECT i.indrelid,
       ARRAY(SELECT k.attnum FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
             WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
FROM pg_index i WHERE i.indisprimary";

/// Foreign keys, and whether a change of the parent changes the child by itself.
pub(super) const FOREIGN_KEYS: &str = "
SELECT conrelid, confrelid,
       confupdtype IN ('c', 'n', 'd') OR confdeltype IN ('c', 'n', 'd') AS cascades
FROM pg_constraint WHERE contype = 'f'";

/// A foreign key by the name in an error: both tables' columns, pairwise.
pub(in crate::postgres) const FOREIGN_KEY: &str = "
SELECT pn.nspname::text, pc.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
             ORDER BY u.place),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum
             ORDER BY u.place)
FROM pg_constraint k
JOIN pg_class cc ON cc.oid = k.conrelid
JOIN pg_namespace cn ON cn.oid = cc.relnamespace
JOIN pg_class pc ON pc.oid = k.confrelid
JOIN pg_namespace pn ON pn.oid = pc.relnamespace
WHERE k.contype = 'f' AND cn.nspname = $1 AND cc.relname = $2 AND k.conname = $3";

/// The columns of a unique index by the name in an error; none where it is over expressions or
/// over a part of the rows.
pub(in crate::postgres) const UNIQUE_KEY: &str = "
SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
             WHERE u.place <= i.indnkeyatts ORDER BY u.place)
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE i.indisunique AND i.indexprs IS NULL AND i.indpred IS NULL
  AND n.nspname = $1 AND t.relname = $2 AND x.relname = $3";
