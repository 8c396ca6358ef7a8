/** A copy of a host's audit log: from the hub, page by page, or from a file. */
import { auditEntry, hostEpoch, signedStatement } from '@felhom/protocol';
import type { SignedStatement } from '@felhom/protocol';
import { z } from 'zod';
import type { AuditCopy } from './audit-check.ts';
import type { HubClient } from './hub-client.ts';
import { CliError, exitCodes } from './io.ts';
import { readText } from './settings.ts';

const auditFile = z.strictObject({
  v: z.literal(1),
  host: z.string().max(40),
  epoch: hostEpoch,
  entries: z.array(z.string().max(8192)).max(2_000_000),
  heads: z.array(signedStatement).max(100_000),
  conflicts: z.array(z.strictObject({ seq: z.number().int().min(1) })).default([]),
});

/** At most this many entries are taken from a hub, so that a hub cannot fill this machine. */
const mostEntries = 2_000_000;

/** `epoch`: an earlier life of the host; without, that of its last poll. */
export async function fetchAudit(hub: HubClient, host: string, epoch: string | undefined): Promise<AuditCopy> {
  const entries: string[] = [];
  const heads = new Map<string, SignedStatement>();
  let page = await hub.audit(host, 1, epoch);
  const first = page;
  for (;;) {
    if (page.epoch !== first.epoch || page.from !== entries.length + 1)
      throw new CliError(
        exitCodes.hub,
        'hub.unreadable-answer',
        `cannot read the audit log of ${host}: the hub answers with another page than was asked for`,
        'check that felhom and the hub are of versions that go together',
      );
    entries.push(...page.entries);
    for (const head of page.heads) heads.set(head.text, head);
    // A page without entries is the end, whatever the hub says that it holds; signed heads tell whether that is a cut.
    if (page.entries.length === 0 || entries.length >= Math.min(page.count, mostEntries)) break;
    page = await hub.audit(host, entries.length + 1, first.epoch);
  }
  return {
    host,
    epoch: first.epoch,
    entries,
    heads: [...heads.values()],
    conflicts: first.conflicts.map(({ seq }) => ({ seq })),
  };
}

/** A file of `felhom audit export`, or bare entries of a host, one a line; those come without heads and without an epoch. */
export async function readAuditFile(path: string, host: string | undefined): Promise<AuditCopy> {
  const text = await readText(path);
  const whole = parseJson(text);
  const parsed = auditFile.safeParse(whole);
  if (parsed.success) return parsed.data;
  const lines = text.split('\n').filter((line) => line !== '');
  // A single entry is JSON as well.
  if (whole === undefined || auditEntry.safeParse(whole).success)
    return { host: host ?? '', epoch: '', entries: lines, heads: [], conflicts: [] };
  throw new CliError(
    exitCodes.failed,
    'audit.bad-file',
    `cannot read ${path}: it is neither a file of felhom audit export nor the log of a host`,
    'felhom audit export HOST --out FILE makes one',
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
