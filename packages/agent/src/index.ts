/**
 * The agent's door for the lab, which runs it in simulated worlds. On a host the program is `main.ts`.
 */
export { createAgent } from './agent.ts';
export type { Agent, AgentParts, ProxmoxPorts } from './agent-parts.ts';
export type { PlannedEffect } from './open-work.ts';
export type { LocalApi, LocalRequest, LocalResponse } from './local-api/index.ts';
export { serveLocalApi } from './local-api/index.ts';
export type { LocalContact } from './protection/index.ts';
export type { LocalAuthority } from './ports/local-authority.ts';
export type { PeerPort } from './ports/bridge-ports.ts';
export type { DesiredSource } from './desired-source.ts';
export { askAgent } from './admin-socket/client.ts';
export type { AdminAnswer } from './admin-socket/client.ts';
export type { AgentStatus } from './admin-socket/status.ts';
export { createPveClient, createPveHttps } from './adapters/pve-http/index.ts';
export type { PveClient, RawAnswer, RawRequest, Transport } from './adapters/pve-http/index.ts';
export { helperAnswer, helperRequest, refusalOf } from './adapters/helper-command/index.ts';
export type { HelperAnswer, HelperRequest } from './adapters/helper-command/index.ts';
export { createHubHttps, spkiOf } from './adapters/hub-https/index.ts';
export { createSshKeygenVerifier } from './adapters/ssh-keygen/index.ts';
export { openJournal, openJournalOn } from './adapters/sqlite-journal/index.ts';
export { systemClock, systemRandom } from './adapters/system-clock/index.ts';
export { agentConfig } from './config.ts';
export type { AgentConfig } from './config.ts';
export { hostPolicy } from './host-policy.ts';
export type { HostPolicy } from './host-policy.ts';
export { crashPointsOf, done, foldSaga, installPowerSwitch, noCrashPoints, refused, unknown } from './kernel/index.ts';
export type { AnySaga, Clock, CrashPoint, CrashPoints, Journal, Outcome, PowerSwitch, Random } from './kernel/index.ts';
export type { MonitoringPorts } from './monitoring/index.ts';
export { requiredAcl } from './node-check/index.ts';
export type { HelperOperation, HostHelper } from './ports/host-helper.ts';
export type { Hub, HubAnswer } from './ports/hub.ts';
export type { Log } from './ports/log.ts';
export type { HostKey, SignatureAnswer, SignatureQuestion, SignatureVerifier } from './ports/signatures.ts';
export type { SignedHelper } from './ports/signed-helper.ts';
export type { Probe, SeenDevices, SeenDisk, SeenMount, StorageDevices } from './ports/storage-devices.ts';
export type { StorageHelper } from './ports/storage-helper.ts';
export { storageManifest } from './storage-manifest.ts';
export { entryOf } from './storage-entry.ts';
export { mayApply as mayApplyTarget } from './root-verbs/target-apply.ts';
export type { TargetJob } from './root-verbs/target-apply.ts';
export type { ManifestRead, StorageManifest } from './storage-manifest.ts';
export type { TrustRead, TrustStore } from './ports/trust-store.ts';
export { closeBreakGlass, consumedJobsIn, receiptsIn, witnessIn, rootFiles, serveVerb } from './root-verbs/index.ts';
export type { RootParts, RootRequest } from './root-verbs/index.ts';
export { createTrustFile } from './adapters/trust-file/index.ts';
export { createSagaRegistry } from './saga-registry.ts';
export { applyTrustChange, decideRelease, isApplied, verifyEnvelope } from './trust/index.ts';
export type { GuestRecord } from './authority/guest-record.ts';
export { createFence, createLanes, createRegistry, createRunner } from './kernel/index.ts';
export { createAuditLog } from './audit/index.ts';
export { checkpointGuest, createCheckpoints, dropCheckpoint, rollBack } from './checkpoints/index.ts';
export type { CheckpointNeeds, RollBackNeeds } from './checkpoints/index.ts';
export { backup, deleteBackup, pruneBackup, renewMarker, unprotectBackup } from './backups/index.ts';
export type { BackupNeeds, BackupParams, QuiesceLeases } from './backups/index.ts';
export type { Runner, SagaEnd, SagaStatus } from './kernel/index.ts';
export { createCatalogue } from './catalogue/index.ts';
export type { BackupRecord } from './catalogue/index.ts';
export { createGuestRegistry } from './adapters/guest-registry/index.ts';
export { createVmidClaims } from './guests/index.ts';
export { createEvidenceStore, isEvidenceOf, restoreTest, sweepScratch } from './restore-tests/index.ts';
export type { RestoreTestNeeds, RestoreTestParams } from './restore-tests/index.ts';
export type { GuestWitness, WitnessSample } from './ports/guest-witness.ts';
export {
  createRestoreStore,
  finishRestore,
  restoreCopy,
  restoreInPlace,
  restoreOverwrite,
  undoLossOf,
  undoRestore,
} from './restores/index.ts';
export type { RestoreNeeds } from './restores/index.ts';
export {
  chooseSource,
  createRecoveryStore,
  lookForUnseen,
  noLooks,
  planRecovery,
  recoverGuest,
} from './recovery/index.ts';
export type { LossMemory, RecoverNeeds, RecoverParams, RecoveryFacts } from './recovery/index.ts';
