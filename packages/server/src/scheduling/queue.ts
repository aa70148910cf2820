/** A first-in first-out queue from whose middle an entry can be taken at no cost: cancelled requests leave at once. */

export interface QueueNode<T> {
  readonly value: T;
  previous: QueueNode<T> | undefined;
  next: QueueNode<T> | undefined;
  isQueued: boolean;
}

export class Queue<T> {
  #first: QueueNode<T> | undefined;
  #last: QueueNode<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): QueueNode<T> | undefined {
    return this.#first;
  }

  push(value: T): QueueNode<T> {
    const node: QueueNode<T> = { value, previous: this.#last, next: undefined, isQueued: true };
    if (this.#last) this.#last.next = node;
    else this.#first = node;
    this.#last = node;
    this.#size += 1;
    return node;
  }

  /** Does nothing for a node that is not queued any more. */
  remove(node: QueueNode<T>): void {
    if (!node.isQueued) return;
    if (node.previous) node.previous.next = node.next;
    else this.#first = node.next;
    if (node.next) node.next.previous = node.previous;
    else this.#last = node.previous;
    node.previous = node.next = undefined;
    node.isQueued = false;
    this.#size -= 1;
  }
}
