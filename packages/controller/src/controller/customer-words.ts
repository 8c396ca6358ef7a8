/** What the customer reads and decides in the controller: the record of what was done to the guest, and standing consent. */
import { auditEntry, consentWords, verifyChain } from '@felhom/protocol';
import type { GuestUid } from '@felhom/protocol';
import type { LocalClient } from '../client/client.ts';

const maxPages = 50;

export type CustomerAudit =
  /** `broken`: the entries do not follow each other; with whom it is that they should. */
  | { readonly is: 'ok'; readonly lines: readonly string[]; readonly broken: string | undefined }
  | { readonly is: 'failed'; readonly text: string };

/** The guest's own entries as lines, oldest first, and whether they are a whole chain. `guest`: uid of the session. */
export async function readAudit(client: LocalClient, guest: string, signal: AbortSignal): Promise<CustomerAudit> {
  const texts: string[] = [];
  for (let page = 0; page < maxPages; page += 1) {
    const answer = await client.audit({}, signal, { query: { after: texts.length } });
    if (answer.is !== 'ok') return { is: 'failed', text: answer.is === 'lost' ? answer.text : answer.problem.detail };
    texts.push(...answer.value.entries);
    if (answer.value.entries.length === 0 || texts.length >= answer.value.head.count) break;
  }
  const check = verifyChain(texts, undefined, guest as GuestUid);
  return { is: 'ok', lines: texts.map(lineOf), broken: check.is === 'broken' ? check.text : undefined };
}

/** What does not read as an entry is shown as it is. */
function lineOf(text: string): string {
  try {
    const { at, kind, text: words } = auditEntry.parse(JSON.parse(text));
    return `${new Date(at).toISOString()}  ${kind}  ${words}`;
  } catch {
    return text;
  }
}

/** `typed`: what the customer typed, which the host compares too; `undefined` withdraws. */
export async function setConsent(client: LocalClient, typed: string | undefined, signal: AbortSignal) {
  if (typed === undefined) return client.consentWithdraw({}, signal);
  if (typed.trim() !== consentWords) return { is: 'refused' as const, text: `type exactly: ${consentWords}` };
  return client.consent({ confirmation: typed.trim() }, signal);
}
