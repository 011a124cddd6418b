// SPDX-License-Identifier: Apache-2.0
// Keeps the conversation of this tab over a reload (phones throw tabs away to save memory). Pictures
// are too large for the storage of storage.ts, so this is IndexedDB; the id of the tab is in its
// session storage. A new tab starts empty; "New chat" forgets; after a week records go.
import type { Reply, Turn } from "./types";

const kStore = "conversations";
const kMaxAgeMs = 7 * 24 * 3600 * 1000;

interface Entry {
  tab: string;
  saved: number; // milliseconds since 1970
  turns: Turn[];
}

function tabId(): string {
  const known = sessionStorage.getItem("ingot.tab");
  if (known) return known;
  const made = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  sessionStorage.setItem("ingot.tab", made);
  return made;
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("ingot", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(kStore, { keyPath: "tab" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function withStore<T>(
  mode: IDBTransactionMode,
  use: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const database = await openDatabase();
  try {
    return await new Promise((resolve, reject) => {
      const request = use(database.transaction(kStore, mode).objectStore(kStore));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } finally {
    database.close();
  }
}

// What was running when the page went away has stopped.
const atRest = (reply: Reply): Reply =>
  reply.state === "waiting" || reply.state === "streaming" ? { ...reply, state: "stopped" } : reply;

// Remembering is a comfort: where storage is forbidden or full, nothing is remembered.
export async function loadTurns(): Promise<Turn[]> {
  try {
    const entries = await withStore<Entry[]>("readonly", (store) => store.getAll());
    for (const entry of entries) {
      if (Date.now() - entry.saved > kMaxAgeMs) {
        await withStore("readwrite", (store) => store.delete(entry.tab));
      }
    }
    const turns = entries.find((entry) => entry.tab === tabId())?.turns ?? [];
    return turns.map((turn) => ({ ...turn, attempts: turn.attempts.map((a) => a.map(atRest)) }));
  } catch {
    return [];
  }
}

export async function saveTurns(turns: Turn[]): Promise<void> {
  try {
    const entry: Entry = { tab: tabId(), saved: Date.now(), turns };
    await withStore("readwrite", (store): IDBRequest => {
      return turns.length === 0 ? store.delete(entry.tab) : store.put(entry);
    });
  } catch {
    // See above.
  }
}
