drawSummary();
drawMemory();
startIcicle();
startTable();
startTimeline();
drawMaps();
startHeap();
