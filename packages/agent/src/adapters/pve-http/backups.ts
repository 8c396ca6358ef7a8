/** Taking, protecting and deleting backups. */
import { reason, volumeId } from '@felhom/protocol';
import { done, refused } from '../../kernel/saga.ts';
import type { BackupRemover, BackupWriter } from '../../ports/proxmox.ts';
import type { Caller } from './caller.ts';
import { readAs } from './read-as.ts';
import * as shapes from './shapes.ts';

/** The storage of a volume id and the whole id: the two path segments of everything about an archive. */
const content = (node: string, archive: string) => {
  const storage = archive.slice(0, archive.indexOf(':'));
  return ['nodes', node, 'storage', storage, 'content', archive];
};

export function createBackupWriter(caller: Caller, node: string): BackupWriter {
  return {
    async backup({ vmid, storage, mode, notes }, signal) {
      const what = `back up CT ${vmid} to ${storage}`;
      const params = {
        vmid,
        storage,
        mode,
        // The default is not to compress at all.
        compress: 'zstd',
        // The default prunes by the policy of the storage; the agent alone prunes [R12].
        remove: false,
        'notes-template': notes,
        // A vzdump.conf with an address has mail sent first, and no dump is begun where there is no sendmail.
        'notification-mode': 'notification-system',
      };
      const call = { what, kind: 'backup', method: 'POST', path: ['nodes', node, 'vzdump'], params } as const;
      const answer = await caller.write(call, signal);
      // "OK" without a task where the guest is not on this node. PVE: API2/VZDump.pm.
      if (answer.is === 'done' && answer.value.data === 'OK') return done(undefined);
      return readAs(what, answer, shapes.upid);
    },
    async protect(archive, on, signal) {
      const what = `${on ? 'protect' : 'unprotect'} ${archive}`;
      const params = { protected: on };
      const answer = await caller.write(
        { what, kind: 'protect', method: 'PUT', path: content(node, archive), params },
        signal,
      );
      return answer.is === 'done' ? done(undefined) : answer;
    },
  };
}

export function createBackupRemover(caller: Caller, node: string): BackupRemover {
  return {
    async remove(warrant, signal) {
      const what = `delete ${warrant.archive}`;
      // Types vanish at run time; a value that got here by a hole in them must not become the DELETE of a live volume.
      const isBackup = volumeId.safeParse(warrant.archive).success && /^[^:]+:backup\//.test(warrant.archive);
      if (warrant.effect !== 'delete-backup' || !isBackup)
        return refused(reason('pve.wrong-warrant', `cannot ${what}: the warrant does not name a backup`));
      const call = { what, kind: 'delete-backup', method: 'DELETE', path: content(node, warrant.archive) } as const;
      const answer = await caller.write(call, signal);
      return readAs(
        what,
        answer,
        shapes.upid.nullable().transform((upid) => upid ?? undefined),
      );
    },
  };
}
