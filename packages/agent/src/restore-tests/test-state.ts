/** Parameters, needs and journaled state of a restore-test. */
import { z } from 'zod';
import { digest, guestName, guestUid, storageId, volumeId } from '@felhom/protocol';
import type { ContentManifest, Digest, ErrorCode, HostId, RestoreEvidence, RestoreGrade } from '@felhom/protocol';
import type { AuditLog } from '../audit/index.ts';
import type { RestoreFrontState } from '../bring-up/index.ts';
import { backupId } from '../catalogue/index.ts';
import type { Catalogue } from '../catalogue/index.ts';
import type { ProtectionNeeds } from '../guests/index.ts';
import type { StepContext } from '../kernel/saga.ts';
import type { HostKey } from '../ports/signatures.ts';
import type { EvidenceStore } from './evidence-store.ts';

export const guestRef = z.strictObject({ uid: guestUid, incarnation: z.number().int().min(1), name: guestName });

export const restoreTestParams = z.strictObject({
  /** Whose backup it is. That guest is not touched. */
  guest: guestRef,
  tier: z.string().min(1).max(40),
  backup: z.strictObject({ id: backupId, archive: volumeId, sha256: digest }),
  /** Where the scratch guest lies, by the policy of the day. */
  storage: storageId,
});
export type RestoreTestParams = z.output<typeof restoreTestParams>;

export interface RestoreTestNeeds extends ProtectionNeeds {
  readonly host: HostId;
  readonly catalogue: Pick<Catalogue, 'byId' | 'write'>;
  /** Content manifests as they were stored with the backups. */
  readonly manifests: { byDigest(digest: Digest): ContentManifest | undefined };
  readonly evidence: EvidenceStore;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly hostKey: Pick<HostKey, 'sign'>;
}

/** How a test ended; the first step that knows says it, and every later one only tears down and records. */
export interface TestResult {
  readonly grade: RestoreGrade;
  readonly verdict: RestoreEvidence['verdict'];
  readonly code?: ErrorCode | undefined;
  readonly text: string;
}

export interface RestoreTestState extends RestoreFrontState {
  readonly result: TestResult;
  readonly timings: RestoreEvidence['timings'];

  // check
  readonly takenAt: number;
  readonly pveVersion: string;
  readonly archivedNetworks: readonly string[];
  /** Room for everything that is in the archive: with an explicit root file system all of it is unpacked there. */
  readonly rootfsGiB: number;
  /** It hands hardware of the host to the guest, as it did when it was taken: never started [R24]. */
  readonly devices: boolean;

  // start
  readonly powerAt: number;
  /** When it was seen to run. */
  readonly upAt: number;

  // watch
  readonly health: { readonly grade: 'booted' | 'healthy'; readonly trouble: string };

  // content
  readonly content: RestoreEvidence['content'];
  readonly manifest: Digest;

  // record
  readonly evidence: Digest;
}

export type TestContext = StepContext<RestoreTestParams, RestoreTestState, RestoreTestNeeds>;

/** For people. */
export const nameOf = ({ guest, tier }: RestoreTestParams): string => `guest ${guest.name}, tier ${tier}`;

export const withTiming = (
  ctx: Pick<TestContext, 'state'>,
  timing: Partial<RestoreEvidence['timings']>,
): RestoreEvidence['timings'] => ({ ...ctx.state.timings, ...timing });
