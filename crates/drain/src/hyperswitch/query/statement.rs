//! Statements: from SQL text to what it asks for, where that is one simple change.
//!
//! Only what diesel makes of an insert, of an update and of a delete by key is taken: names and
//! places of binds. Every clause that is not named here is refused, so that nothing of a statement
//! is silently left out. The text itself never reaches the database. Pure.

use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Delete, Expr, FromTable, Ident, Insert,
    ObjectName, OnConflictAction, OnInsert, Query, SetExpr, Statement as Ast, TableFactor,
    TableObject, TableWithJoins, Update, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Tokenizer;

use super::screen::is_shallow;
use crate::operation::{TRANSACTION_OPERATIONS_MAX, Verb};
use crate::rejection::{Code, Rejection};

/// What a statement asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) verb: Verb,
    pub(super) table: TableName,
    /// For an insert its rows; for an update what it sets, once; for a delete one empty row.
    pub(super) rows: Vec<Vec<(String, Slot)>>,
    /// What the condition of an update or a delete says of the row.
    pub(super) key: Vec<(String, Slot)>,
}

/// A table as the statement names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// In the bind at this place, counted from 0.
    Bind(usize),
    /// It is the column's default.
    Default,
    /// It is NULL, `true` or `false`, written so.
    Json(&'static str),
}

/// Reads a statement.
///
/// # Errors
/// A [`Rejection`] that says what is not taken.
pub(super) fn parse(sql: &str) -> Result<Statement, Rejection> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location();
    let tokens = tokens.map_err(|_unread| refuse("it can't be split into words"))?;
    if !is_shallow(&tokens) {
        return Err(refuse(
            "it is nested deeper, or has longer expressions, than any that is taken",
        ));
    }
    let parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let parsed = { parser }.parse_statements();
    // The parser's own message shows parts of the text, which may be values.
    let parsed = parsed.map_err(|_unread| refuse("it is no SQL that PostgreSQL would read"))?;
    let Ok([statement]) = <[Ast; 1]>::try_from(parsed) else {
        return Err(refuse("it is not one statement"));
    };
    match statement {
        Ast::Insert(insert) => read_insert(insert),
        Ast::Update(update) => read_update(update),
        Ast::Delete(delete) => read_delete(delete),
        _ => Err(refuse("it is no INSERT, UPDATE or DELETE")),
    }
}

fn read_insert(insert: Insert) -> Result<Statement, Rejection> {
    let Insert {
        insert_token: _,
        optimizer_hints: _,
        or: None,
        ignore: false,
        into: true,
        table: TableObject::TableName(table),
        table_alias: None,
        columns,
        overwrite: false,
        source: Some(source),
        assignments,
        partitioned: None,
        after_columns,
        has_table_keyword: false,
        on,
        returning: _,
        output: None,
        replace_into: false,
        priority: None,
        insert_alias: None,
        settings: None,
        format_clause: None,
        multi_table_insert_type: None,
        multi_table_into_clauses: _,
        multi_table_when_clauses: _,
        multi_table_else_clause: None,
    } = insert
    else {
        return Err(refuse(
            "its INSERT is not INSERT INTO table (columns) VALUES (binds)",
        ));
    };
    if !assignments.is_empty() || !after_columns.is_empty() || columns.is_empty() {
        return Err(refuse("its INSERT does not name its columns"));
    }
    check_conflict(on)?;
    let columns = columns
        .iter()
        .map(column_name)
        .collect::<Result<Vec<_>, _>>()?;
    let values = read_values(*source)?;
    if values.len() > TRANSACTION_OPERATIONS_MAX {
        return Err(refuse(&format!(
            "it has more than {TRANSACTION_OPERATIONS_MAX} rows"
        )));
    }
    let mut rows = Vec::with_capacity(values.len());
    for row in values {
        if row.len() != columns.len() {
            return Err(refuse(
                "a row of its VALUES has not as many values as there are columns",
            ));
        }
        let slots = row.iter().map(slot).collect::<Result<Vec<_>, _>>()?;
        rows.push(columns.iter().cloned().zip(slots).collect());
    }
    Ok(Statement {
        verb: Verb::Insert,
        table: table_name(&table)?,
        rows,
        key: Vec::new(),
    })
}

/// `ON CONFLICT DO NOTHING` is taken: what becomes of a conflict is decided here, not there.
fn check_conflict(on: Option<OnInsert>) -> Result<(), Rejection> {
    match on {
        None => Ok(()),
        Some(OnInsert::OnConflict(conflict)) if conflict.action == OnConflictAction::DoNothing => {
            Ok(())
        }
        Some(_) => Err(refuse("of ON CONFLICT only DO NOTHING is taken")),
    }
}

fn read_values(source: Query) -> Result<Vec<Vec<Expr>>, Rejection> {
    let refused = || refuse("its INSERT has no plain list of VALUES");
    let Query {
        with: None,
        body,
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks,
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators,
    } = source
    else {
        return Err(refused());
    };
    match *body {
        SetExpr::Values(values) if locks.is_empty() && pipe_operators.is_empty() => {
            Ok(values.rows.into_iter().map(|row| row.content).collect())
        }
        _ => Err(refused()),
    }
}

fn read_update(update: Update) -> Result<Statement, Rejection> {
    let Update {
        update_token: _,
        optimizer_hints: _,
        table,
        assignments,
        from: None,
        selection: Some(selection),
        returning: _,
        output: None,
        or: None,
        order_by,
        limit: None,
    } = update
    else {
        return Err(refuse("its UPDATE is not UPDATE table SET … WHERE …"));
    };
    if !order_by.is_empty() {
        return Err(refuse("its UPDATE has an ORDER BY"));
    }
    let table = plain_table(table)?;
    let set = assignments
        .into_iter()
        .map(assignment)
        .collect::<Result<Vec<_>, _>>()?;
    let key = read_key(&selection, &table)?;
    Ok(Statement {
        verb: Verb::Update,
        table,
        rows: vec![set],
        key,
    })
}

fn assignment(assignment: Assignment) -> Result<(String, Slot), Rejection> {
    let AssignmentTarget::ColumnName(name) = &assignment.target else {
        return Err(refuse("its SET names several columns at once"));
    };
    match slot(&assignment.value)? {
        Slot::Default => Err(refuse("its SET has a DEFAULT")),
        slot => Ok((column_name(name)?, slot)),
    }
}

fn read_delete(delete: Delete) -> Result<Statement, Rejection> {
    let Delete {
        delete_token: _,
        optimizer_hints: _,
        tables,
        from: FromTable::WithFromKeyword(from),
        using: None,
        selection: Some(selection),
        returning: _,
        output: None,
        order_by,
        limit: None,
    } = delete
    else {
        return Err(refuse("its DELETE is not DELETE FROM table WHERE …"));
    };
    let Ok([from]) = <[TableWithJoins; 1]>::try_from(from) else {
        return Err(refuse("its DELETE names several tables"));
    };
    if !tables.is_empty() || !order_by.is_empty() {
        return Err(refuse("its DELETE is not DELETE FROM table WHERE …"));
    }
    let table = plain_table(from)?;
    let key = read_key(&selection, &table)?;
    Ok(Statement {
        verb: Verb::Delete,
        table,
        rows: vec![Vec::new()],
        key,
    })
}

fn plain_table(table: TableWithJoins) -> Result<TableName, Rejection> {
    let TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints,
        version: None,
        with_ordinality: false,
        partitions,
        json_path: None,
        sample: None,
        index_hints,
    } = table.relation
    else {
        return Err(refuse("its table is more than a name"));
    };
    let has_more = !table.joins.is_empty()
        || !with_hints.is_empty()
        || !partitions.is_empty()
        || !index_hints.is_empty();
    if has_more {
        return Err(refuse("its table is more than a name"));
    }
    table_name(&name)
}

fn table_name(name: &ObjectName) -> Result<TableName, Rejection> {
    let mut parts = name.0.iter().map(|part| part.as_ident().map(spelling));
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Some(name)), None, _) => Ok(TableName { schema: None, name }),
        (Some(Some(schema)), Some(Some(name)), None) => Ok(TableName {
            schema: Some(schema),
            name,
        }),
        _ => Err(refuse(
            "its table is not named by a name, or a schema and a name",
        )),
    }
}

/// A list of `column = bind`, all of which must hold.
fn read_key(selection: &Expr, table: &TableName) -> Result<Vec<(String, Slot)>, Rejection> {
    let mut key = Vec::new();
    let mut open = vec![selection];
    while let Some(expression) = open.pop() {
        match expression {
            Expr::Nested(inner) => open.push(inner),
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::And => open.extend([&**right, &**left]),
                BinaryOperator::Eq => match slot(right)? {
                    Slot::Bind(place) => key.push((key_column(left, table)?, Slot::Bind(place))),
                    _ => return Err(refuse(NOT_BY_KEY)),
                },
                _ => return Err(refuse(NOT_BY_KEY)),
            },
            _ => return Err(refuse(NOT_BY_KEY)),
        }
    }
    Ok(key)
}

/// What is said of a condition that is not a list of equalities.
const NOT_BY_KEY: &str = "its WHERE is more than column = bind, joined by AND";

fn key_column(expression: &Expr, table: &TableName) -> Result<String, Rejection> {
    match expression {
        Expr::Identifier(name) => Ok(spelling(name)),
        Expr::CompoundIdentifier(parts) => {
            let parts: Vec<String> = parts.iter().map(spelling).collect();
            match parts.as_slice() {
                [of, column] if *of == table.name => Ok(column.clone()),
                [schema, of, column]
                    if *of == table.name && Some(schema) == table.schema.as_ref() =>
                {
                    Ok(column.clone())
                }
                _ => Err(refuse("its WHERE names another table")),
            }
        }
        Expr::Nested(inner) => key_column(inner, table),
        _ => Err(refuse(NOT_BY_KEY)),
    }
}

fn column_name(name: &ObjectName) -> Result<String, Rejection> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(spelling),
        _ => None,
    }
    .ok_or_else(|| refuse("a column is not named by its name alone"))
}

fn slot(expression: &Expr) -> Result<Slot, Rejection> {
    let refused = || refuse("a value is no bind; send each value as a bind");
    match expression {
        Expr::Nested(inner) => slot(inner),
        Expr::Identifier(name)
            if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") =>
        {
            Ok(Slot::Default)
        }
        Expr::Value(value) => match &value.value {
            Value::Null => Ok(Slot::Json("null")),
            Value::Boolean(true) => Ok(Slot::Json("true")),
            Value::Boolean(false) => Ok(Slot::Json("false")),
            Value::Placeholder(place) => {
                let number = place
                    .strip_prefix('$')
                    .and_then(|n| n.parse::<usize>().ok());
                let place = number.and_then(|number| number.checked_sub(1));
                place.map(Slot::Bind).ok_or_else(refused)
            }
            _ => Err(refused()),
        },
        _ => Err(refused()),
    }
}

/// The name that PostgreSQL would look for.
fn spelling(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

pub(super) fn refuse(what: &str) -> Rejection {
    Rejection::new(
        Code::NotAllowed,
        format!("the statement in the field query is not taken: {what}"),
    )
}

#[cfg(test)]
mod tests;
