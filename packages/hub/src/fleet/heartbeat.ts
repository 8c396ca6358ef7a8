/**
 * What a poll says besides the report, and is of its moment: the host's clock, its last pass, its numbers. The hub keeps
 * the last one of each host, and shows no numbers of a host that fell silent. Pure.
 */
import { hostStatementKind, parseVersionedJson, shownHeartbeat } from '@felhom/protocol';
import type { PollRequest, ShownHeartbeat } from '@felhom/protocol';
import type { Liveness } from '../liveness/judge.ts';
import type { ContactRow } from '../store/store.ts';

/** Times are in the statement, because the host signs them; here nobody verifies it, as with all that the hub shows. */
export function heartbeatOf(poll: Pick<PollRequest, 'statement' | 'metered' | 'vitals'>): ShownHeartbeat {
  const said = poll.statement === undefined ? undefined : parseVersionedJson(hostStatementKind, poll.statement.text);
  const times = said?.is === 'ok' ? said.value : undefined;
  return {
    ...(times === undefined ? {} : { at: times.at }),
    ...(times?.lastPassAt === undefined ? {} : { lastPassAt: times.lastPassAt }),
    metered: poll.metered === true,
    ...(poll.vitals === undefined ? {} : { vitals: poll.vitals }),
  };
}

/** `undefined` where the hub has none, or none that it can read: one damaged row must not hide a host. */
export function readHeartbeat(
  contact: Pick<ContactRow, 'heartbeat'> | undefined,
  liveness: Pick<Liveness, 'is'>,
): ShownHeartbeat | undefined {
  if (contact?.heartbeat === undefined) return undefined;
  const kept = shownHeartbeat.safeParse(parsed(contact.heartbeat)).data;
  if (kept === undefined || liveness.is !== 'silent') return kept;
  const { vitals: _, ...rest } = kept;
  return rest;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
