foo { ~} 
