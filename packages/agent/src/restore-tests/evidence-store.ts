/**
 * The evidence of restore-tests, kept as documents of the journal: what counts per guest and tier is the newest test
 * that was one; a skipped one stands beside it and never in its place. Bounded.
 */
import { z } from 'zod';
import { digest, digestOfEvidence, evidenceBytes, restoreEvidence, signatureNamespaces } from '@felhom/protocol';
import type { Digest, ReportedRestoreTest, RestoreEvidence } from '@felhom/protocol';
import type { Documents, DocumentWrite } from '../kernel/journal.ts';
import type { HostKey } from '../ports/signatures.ts';

export { isEvidenceOf } from '@felhom/protocol';

const prefix = 'evidence/';
const shapeVersion = 1;
const mostKept = 500;

const stored = z.strictObject({ evidence: restoreEvidence, signature: z.string().max(1024) });

export interface EvidenceStore {
  /** Newest first. */
  all(): readonly ReportedRestoreTest[];
  /** Per guest and tier the newest test, and what was skipped since; newest first. */
  newest(): readonly ReportedRestoreTest[];
  byDigest(digest: Digest): ReportedRestoreTest | undefined;
  /** Of one saga, for finding out whether it has been recorded. */
  ofTest(test: string): ReportedRestoreTest | undefined;
  /** What has to become durable together: the new one, and what it displaces. */
  writes(next: ReportedRestoreTest): readonly DocumentWrite[];
}

export function signEvidence(evidence: RestoreEvidence, key: Pick<HostKey, 'sign'>): ReportedRestoreTest {
  const plain = restoreEvidence.parse(JSON.parse(JSON.stringify(evidence)));
  return {
    evidence: plain,
    digest: digestOfEvidence(plain),
    signature: key.sign(signatureNamespaces.evidence, evidenceBytes(plain)),
  };
}

/** A document that does not read is left out: evidence is what somebody said, and nothing is destroyed by it. */
export function createEvidenceStore(documents: Pick<Documents, 'get' | 'list'>): EvidenceStore {
  const read = (key: string, body: unknown): ReportedRestoreTest | undefined => {
    const parsed = stored.safeParse(body);
    const named = digest.safeParse(key.slice(prefix.length));
    return parsed.success && named.success ? { ...parsed.data, digest: named.data } : undefined;
  };
  const all = (): readonly ReportedRestoreTest[] =>
    documents
      .list(prefix)
      .flatMap(({ key, body }) => read(key, body) ?? [])
      .toSorted((a, b) => b.evidence.endedAt - a.evidence.endedAt);
  return {
    all,
    newest: () => newestOf(all()),
    byDigest(of) {
      const found = documents.get(prefix + of);
      return found === undefined ? undefined : read(found.key, found.body);
    },
    ofTest: (test) => all().find(({ evidence }) => evidence.test === test),
    writes(next) {
      const before = all();
      const counting = new Set(newestOf([next, ...before]).map((each) => each.digest));
      const surplus = before.filter((each) => !counting.has(each.digest)).slice(mostKept);
      const { evidence, signature } = next;
      return [
        { put: { key: prefix + next.digest, v: shapeVersion, body: { evidence, signature } } },
        ...surplus.map((each) => ({ remove: prefix + each.digest })),
      ];
    },
  };
}

/** `tests`: newest first. */
function newestOf(tests: readonly ReportedRestoreTest[]): readonly ReportedRestoreTest[] {
  const tested = new Set<string>();
  const skipped = new Set<string>();
  return tests.filter(({ evidence: { guest, tier, verdict } }) => {
    const of = `${guest}/${tier}`;
    if (tested.has(of) || (verdict === 'skipped' && skipped.has(of))) return false;
    (verdict === 'skipped' ? skipped : tested).add(of);
    return true;
  });
}
