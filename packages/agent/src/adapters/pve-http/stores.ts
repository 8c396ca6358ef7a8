/** Storages and what lies on them. Every call here makes the node activate storages, so they are capped. */
import type { StorageEntries, Stores } from '../../ports/proxmox.ts';
import { z } from 'zod';
import type { Caller } from './caller.ts';
import { readAs } from './read-as.ts';
import * as shapes from './shapes.ts';

export function createStores(caller: Caller, node: string): Stores {
  return {
    async list(signal) {
      const what = `list storages of node ${node}`;
      const call = { what, path: ['nodes', node, 'storage'], expensive: true };
      return readAs(what, await caller.read(call, signal), shapes.storageRows);
    },
    async contents(storage, { content, vmid }, signal) {
      const what = `list what lies on storage ${storage}`;
      const path = ['nodes', node, 'storage', storage, 'content'];
      return readAs(
        what,
        await caller.read({ what, path, params: { content, vmid }, expensive: true }, signal),
        shapes.storeItems,
      );
    },
    async extractConfig(archive, signal) {
      const what = `read the config in archive ${archive}`;
      const call = { what, path: ['nodes', node, 'vzdump', 'extractconfig'], params: { volume: archive } };
      return readAs(what, await caller.read({ ...call, expensive: true }, signal), z.string());
    },
  };
}

export function createStorageEntries(caller: Caller): StorageEntries {
  return {
    async entries(signal) {
      const what = 'list the definitions of storages';
      return readAs(what, await caller.read({ what, path: ['storage'] }, signal), shapes.storageEntries);
    },
  };
}
