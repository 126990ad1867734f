//! PURE: how an arc's history is kept on a primary and its backups.
