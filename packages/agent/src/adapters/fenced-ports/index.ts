/**
 * Re-reads the fence before every call that changes something [R49]. The journal refuses the records of an agent that
 * was overtaken; this refuses its calls, also those in the middle of a step.
 */
import type { Fence } from '../../kernel/fence.ts';
import { unknown } from '../../kernel/saga.ts';
import type { Outcome } from '../../kernel/saga.ts';
import type { HostHelper } from '../../ports/host-helper.ts';
import type { SignedHelper } from '../../ports/signed-helper.ts';
import type { StorageHelper } from '../../ports/storage-helper.ts';
import type {
  BackupRemover,
  BackupWriter,
  GuestDestroyer,
  GuestWriter,
  Snapshots,
  VolumeMover,
} from '../../ports/proxmox.ts';

type Check = Pick<Fence, 'check'>;

/** `unknown`, not `refused`: an agent that lost its fence must not unwind either. */
function ifHeld<T>(fence: Check, call: () => Promise<Outcome<T>>): Promise<Outcome<T>> {
  const verdict = fence.check();
  return verdict.is === 'held' ? call() : Promise.resolve(unknown(verdict.why));
}

export function fenceWriter(writer: GuestWriter, fence: Check): GuestWriter {
  return {
    restore: (...call) => ifHeld(fence, () => writer.restore(...call)),
    configure: (...call) => ifHeld(fence, () => writer.configure(...call)),
    resize: (...call) => ifHeld(fence, () => writer.resize(...call)),
    start: (...call) => ifHeld(fence, () => writer.start(...call)),
    shutdown: (...call) => ifHeld(fence, () => writer.shutdown(...call)),
    stop: (...call) => ifHeld(fence, () => writer.stop(...call)),
  };
}

export function fenceDestroyer(destroyer: GuestDestroyer, fence: Check): GuestDestroyer {
  return { destroy: (...call) => ifHeld(fence, () => destroyer.destroy(...call)) };
}

export function fenceBackupWriter(writer: BackupWriter, fence: Check): BackupWriter {
  return {
    backup: (...call) => ifHeld(fence, () => writer.backup(...call)),
    protect: (...call) => ifHeld(fence, () => writer.protect(...call)),
  };
}

export function fenceBackupRemover(remover: BackupRemover, fence: Check): BackupRemover {
  return { remove: (...call) => ifHeld(fence, () => remover.remove(...call)) };
}

export function fenceSnapshots(snapshots: Snapshots, fence: Check): Snapshots {
  return {
    list: (...call) => snapshots.list(...call),
    possible: (...call) => snapshots.possible(...call),
    config: (...call) => snapshots.config(...call),
    take: (...call) => ifHeld(fence, () => snapshots.take(...call)),
    drop: (...call) => ifHeld(fence, () => snapshots.drop(...call)),
    rollback: (...call) => ifHeld(fence, () => snapshots.rollback(...call)),
  };
}

export function fenceMover(mover: VolumeMover, fence: Check): VolumeMover {
  return { reassign: (...call) => ifHeld(fence, () => mover.reassign(...call)) };
}

export function fenceStorageHelper(helper: StorageHelper, fence: Check): StorageHelper {
  return {
    smart: (...call) => helper.smart(...call),
    mount: (...call) => ifHeld(fence, () => helper.mount(...call)),
    unmount: (...call) => ifHeld(fence, () => helper.unmount(...call)),
    storageDefine: (...call) => ifHeld(fence, () => helper.storageDefine(...call)),
  };
}

export function fenceHelper(helper: HostHelper, fence: Check): HostHelper {
  return {
    volumesOf: (...call) => helper.volumesOf(...call),
    show: (...call) => helper.show(...call),
    archiveDigest: (...call) => helper.archiveDigest(...call),
    scratchRead: (...call) => helper.scratchRead(...call),
    keyTest: (...call) => helper.keyTest(...call),
    guestMounts: (...call) => helper.guestMounts(...call),
    reapStub: (...call) => ifHeld(fence, () => helper.reapStub(...call)),
    unlock: (...call) => ifHeld(fence, () => helper.unlock(...call)),
    poolEnsure: (...call) => ifHeld(fence, () => helper.poolEnsure(...call)),
    tunnelRestart: (...call) => ifHeld(fence, () => helper.tunnelRestart(...call)),
  };
}

export function fenceSignedHelper(helper: SignedHelper, fence: Check): SignedHelper {
  return {
    breakGlassShow: (...call) => helper.breakGlassShow(...call),
    targetApply: (...call) => ifHeld(fence, () => helper.targetApply(...call)),
    tunnelApply: (...call) => ifHeld(fence, () => helper.tunnelApply(...call)),
    witness: (...call) => ifHeld(fence, () => helper.witness(...call)),
    show: (...call) => helper.show(...call),
    trustUpdate: (...call) => ifHeld(fence, () => helper.trustUpdate(...call)),
    breakGlassOpen: (...call) => ifHeld(fence, () => helper.breakGlassOpen(...call)),
    breakGlassClose: (...call) => ifHeld(fence, () => helper.breakGlassClose(...call)),
  };
}
