//! A vote that is to outlive its process, on a disk that does not take it.

use std::{fs, path::PathBuf};

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ringheir-voting-{:032x}", chance::draw()));
        fs::create_dir(&path).expect("new");
        Self(path)
    }

    /// The new vote is written beside the old one: where a folder is in its way, it cannot be.
    fn obstruct(&self) {
        fs::create_dir(self.0.join("vote.new")).expect("nothing is in the way");
    }

    fn clear(&self) {
        fs::remove_dir(self.0.join("vote.new")).expect("it is in the way");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_decides_alone_decides_nothing_that_it_cannot_store() {
    let (network, folder) = (MemoryNetwork::new(), Folder::new());
    let alone = file(&["a"], "");
    let builder = Node::builder().config(alone.clone()).name("a").types(types()).over(&network).data_dir(&folder.0);
    let a = builder.start().await.expect("alone");
    counter(&a, "c").call(Add(1)).await.expect("done");
    folder.obstruct();
    let coming = {
        let (file, network) = (alone.clone(), network.clone());
        tokio::spawn(async move {
            Node::builder().config(file).unlisted(entry("b")).types(types()).over(&network).start().await
        })
    };
    time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(a.view().number, ViewNumber(1), "it decided without its disk");
    assert_eq!(counter(&a, "c").call(Add(1)).await.expect("what needs no view goes on"), 2);
    folder.clear();
    let b = soon(coming).await.expect("it does not panic").expect("it is let in as soon as there is room");
    until("a knows b", async || a.view().is_member(b.id())).await;
}
