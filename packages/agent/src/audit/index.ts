/**
 * Audit: what was asked, decided and done on this host, in the order in which it happened, chained so that a missing or
 * changed entry shows.
 *
 * Owns the chains and their heads in the journal. Never decides what is worth an entry, and never cuts one out.
 */
export { createAuditLog } from './audit-log.ts';
export type { Also, AuditLog } from './audit-log.ts';
