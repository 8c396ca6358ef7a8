/**
 * Catalogue: which good backups there are, and what follows from them: how old the newest is, which are kept, what is
 * due, what policy is in force.
 *
 * Owns the records of backups and every pure decision over them. Never talks to Proxmox and takes no backup itself.
 * Read in this order: backup-record, catalogue.
 */
export { backupId, backupRecord } from './backup-record.ts';
export type { BackupRecord } from './backup-record.ts';
export { createCatalogue } from './catalogue.ts';
export type { Catalogue } from './catalogue.ts';
