/**
 * The root helper as a command: the adapter of `ports/host-helper.ts` on a real host, in the lab and in the tests
 * against a real node. Runs one process per verb, no shell, nothing in its arguments.
 *
 * The wire. The command gets one JSON document on stdin and answers with one on stdout, then exits 0:
 *
 *   {"v":1,"verb":"volumes-of","vmid":9001}
 *   {"v":1,"verb":"reap-stub","operation":"<id>","vmid":9001,"volumes":["local:9001/vm-9001-disk-0.raw"]}
 *   {"v":1,"verb":"unlock","operation":"<id>","vmid":9001}
 *   {"v":1,"verb":"pool-ensure","operation":"<id>","vmid":9001}
 *   {"v":1,"verb":"tunnel-apply","operation":"<id>","envelope":"{…}"}
 *   {"v":1,"verb":"tunnel-restart","operation":"<id>"}
 *   {"v":1,"verb":"tunnel-show"}
 *   {"v":1,"verb":"credential-test","target":"nas-1"}
 *   {"v":1,"verb":"archive-digest","archive":"local:backup/vzdump-lxc-9001-….tar.zst"}
 *   {"v":1,"verb":"scratch-read","vmid":9800,"volumes":[{"path":"/srv/data","samples":["cat.jpg"]}]}
 *   {"v":1,"verb":"guest-mounts","vmid":9001}
 *   {"v":1,"verb":"key-test","archive":"pbs:backup/ct/9001/2026-11-24T00:46:17Z"}
 *   {"v":1,"verb":"trust-update","operation":"<id>","envelope":"{…}"}
 *   {"v":1,"verb":"break-glass-open","operation":"<id>","envelope":"{…}"}
 *   {"v":1,"verb":"break-glass-close","operation":"<id>"}
 *   {"v":1,"verb":"break-glass-show"}
 *   {"v":1,"verb":"witness","epoch":"<32 hex digits>","count":41}
 *   {"v":1,"verb":"mount","operation":"<id>","target":"usb-1"}         as well `unmount`, `storage-define`
 *   {"v":1,"verb":"target-apply","operation":"<id>","envelope":"{…}"}
 *   {"v":1,"verb":"smart","device":"sda"}
 *   {"v":1,"verb":"show","operation":"<id>"}
 *
 * Each may carry `"fence":{"epoch":"<32 hex digits>","opening":7}`: which opening of which journal asks.
 *
 *   {"v":1,"is":"done"}                                         every verb that changes something
 *   {"v":1,"is":"done","volumes":["local:…"]}                   volumes-of
 *   {"v":1,"is":"done","archive":{"kind":"file","sizeBytes":1259,"sha256":"…","device":"ext4:<uuid>"}}   archive-digest
 *   {"v":1,"is":"done","found":[{"path":"/srv/data","files":1,"bytes":3,"samples":[null]}]}                scratch-read
 *   {"v":1,"is":"done","keyTest":{"is":"not-encrypted"}}        key-test
 *   {"v":1,"is":"done","smart":"{…}"}                           smart: what smartctl printed
 *   {"v":1,"is":"done","tunnelFence":true}                      tunnel-show: its fence by port is loaded
 *   {"v":1,"is":"done","witnessed":40}                          witness: the count before
 *   {"v":1,"is":"done","openUntil":null}                        break-glass-show: closed
 *   {"v":1,"is":"done","receipt":null}                          show: never completed
 *   {"v":1,"is":"done","receipt":{"operation":"<id>","verb":"unlock","at":1800000000000}}
 *   {"v":1,"is":"refused","text":"the worker of this stub still runs"}    proven: nothing was changed
 *   {"v":1,"is":"busy","text":"…"}                              nothing was changed, and it may work later
 *   {"v":1,"is":"absent","text":"…"}                            archive-digest: its storage is there, it is not
 *
 * `at` is wall time in milliseconds. Anything else, no answer, or an exit code other than 0 leaves a verb that changes
 * something of unknown outcome; `show` with the same operation id settles it. stderr is for people and is kept short.
 * After an opening that failed, `busy` may also mean that it is not known to be closed again; close it then.
 *
 * `felhom-agent root-verb` is such a command. Behind a socket it is the same program (`adapters/helper-socket`), and
 * no answer at all is what an exit code other than 0 is here.
 *
 * Read in this order: wire (both documents), ask-helper (a request and its answer), helper-command (the process).
 */
export { createHelper, longestAnswerBytes, noHelper, refusalOf } from './ask-helper.ts';
export type { Carried, HelperTimes, HelperTransport } from './ask-helper.ts';
export { createHelperCommand } from './helper-command.ts';
export type { HelperCommandOptions } from './helper-command.ts';
export { helperAnswer, helperRequest } from './wire.ts';
export type { HelperAnswer, HelperFence, HelperRequest } from './wire.ts';
