/**
 * The sagas that protect a guest, on the node under test, one after the other as a person would order them: on the
 * journal of the agent under test, while no agent runs on it.
 */
import type { HostId, Vmid } from '@felhom/protocol';
import { createGuestRegistry } from '../../src/adapters/guest-registry/index.ts';
import { openJournal } from '../../src/adapters/sqlite-journal/index.ts';
import { systemRandom } from '../../src/adapters/system-clock/index.ts';
import { createAuditLog } from '../../src/audit/index.ts';
import type { GuestRecord } from '../../src/authority/guest-record.ts';
import { backup, deleteBackup, renewMarker } from '../../src/backups/index.ts';
import type { BackupNeeds } from '../../src/backups/index.ts';
import { createCatalogue } from '../../src/catalogue/index.ts';
import { checkpointGuest, createCheckpoints, dropCheckpoint, rollBack } from '../../src/checkpoints/index.ts';
import type { CheckpointNeeds, RollBackNeeds } from '../../src/checkpoints/index.ts';
import { createVmidClaims } from '../../src/guests/index.ts';
import { createFence, createLanes, createRegistry, createRunner, noCrashPoints } from '../../src/kernel/index.ts';
import type { AnySaga, SagaEnd } from '../../src/kernel/index.ts';
import type { HostHelper } from '../../src/ports/host-helper.ts';
import { createEvidenceStore, restoreTest, sweepScratch } from '../../src/restore-tests/index.ts';
import type { RestoreTestNeeds } from '../../src/restore-tests/index.ts';
import { createRestoreStore, finishRestore, lossOf, restoreOverwrite, undoRestore } from '../../src/restores/index.ts';
import type { RestoreNeeds } from '../../src/restores/index.ts';
import { unsignedParts } from '../unsigned-parts.ts';
import type { AgentOnNode } from './agent-on-node.ts';
import type { NodeUnderTest } from './node-under-test.ts';

/** What all these sagas need together. */
export type AllNeeds = BackupNeeds &
  Omit<RestoreTestNeeds, 'manifests'> &
  RestoreNeeds &
  CheckpointNeeds &
  RollBackNeeds & { readonly manifests: BackupNeeds['manifests'] & RestoreTestNeeds['manifests'] };

export interface Sagas {
  readonly needs: AllNeeds;
  guest(name: string): GuestRecord;
  run(definition: AnySaga, params: unknown): Promise<SagaEnd>;
  /** Ends what an earlier run left open: half-done sagas, undo windows, backups on record. */
  settle(): Promise<void>;
  close(): void;
}

export const tier = 'suite';

export const refOf = ({ uid, incarnation, name }: GuestRecord) => ({ uid, incarnation, name });

const all = [
  backup,
  renewMarker,
  deleteBackup,
  restoreTest,
  sweepScratch,
  restoreOverwrite,
  undoRestore,
  finishRestore,
  checkpointGuest,
  rollBack,
  dropCheckpoint,
];

/** Nobody else may have the journal open. */
export function sagasOnNode(node: NodeUnderTest, on: AgentOnNode, helper: HostHelper): Sagas {
  const { pve, settings, clock, backupStorage } = node;
  const random = systemRandom();
  const journal = openJournal({ directory: on.directory, clock, random });
  const catalogue = createCatalogue(journal);
  const restores = createRestoreStore(journal);
  const { witness, hostKey } = unsignedParts();
  const needs: AllNeeds = {
    ...pve,
    node: pve.facts,
    helper,
    witness,
    hostKey,
    host: 'test-pve' as HostId,
    registry: createGuestRegistry(journal),
    claims: createVmidClaims([], (id) => journal.openSagas().includes(id)),
    policy: () => on.policy,
    tokenId: settings.token.slice(0, settings.token.indexOf('=')),
    catalogue,
    restores,
    checkpoints: createCheckpoints(journal),
    evidence: createEvidenceStore(journal),
    audit: createAuditLog(journal),
    manifests: { latest: () => undefined, byDigest: () => undefined },
    leases: { isHeld: () => false, captured: () => undefined },
    targets: {
      check: () => Promise.resolve(undefined),
      attachment: () => undefined,
      whileAttached: async (_, signal, work) => ({ is: 'ended', value: await work(signal) }),
    },
    tierOf: (name) => (name === tier ? { storage: backupStorage } : undefined),
    quickTierOf: () => tier,
    // None of its guests has a controller.
    desiredOf: () => undefined,
    isMassChange: () => false,
    mayPrune: () => false,
    issuing: {
      claims: {
        mint: () => {
          throw new Error('guests of this suite find no host');
        },
        forget: () => undefined,
        lookedAtEnv: () => undefined,
      },
      supportsEnv: () => false,
      contact: () => undefined,
    },
  };
  const runner = createRunner({
    journal,
    fence: createFence(journal, clock),
    clock,
    random,
    crashPoints: noCrashPoints,
    lanes: createLanes(clock),
    registry: createRegistry(all),
  });
  const recovered = runner.resumeAll(() => needs);
  const run: Sagas['run'] = (definition, params) => runner.start(definition, params, needs).ended;

  return {
    needs,
    run,
    guest(name) {
      const found = needs.registry.all().find((record) => record.name === name && !record.scratch);
      if (found === undefined) throw new Error(`guest ${name} is not on record`);
      return found;
    },
    async settle() {
      for (const saga of recovered) await saga.ended;
      for (const { id, guest, old, state } of restores.all()) {
        const now = needs.registry.byUid(guest.uid);
        if (state !== 'undoable' || old === undefined || now === undefined) continue;
        await run(finishRestore, { guest: refOf(now), sagaId: id, loss: lossOf(old), jobId: 'suite' });
      }
      for (const { guest, archive, sha256 } of catalogue.all()) {
        const now = needs.registry.byUid(guest);
        if (now !== undefined) await run(deleteBackup, { guest: refOf(now), backup: { archive, sha256 } });
      }
    },
    close: () => journal.close(),
  };
}

export const inRange = ({ from, to }: { readonly from: number; readonly to: number }): readonly Vmid[] =>
  Array.from({ length: to - from + 1 }, (_, n) => (from + n) as Vmid);
